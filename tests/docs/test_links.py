"""Every link in the documentation leads somewhere."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, anchors, links
from tests.support.paths import PROJECT

_RELATIVE = [
    pytest.param(page, link, id=f"{page.relative_to(PROJECT)}: {link}")
    for page in PAGES
    for link in links(page)
    if not link.startswith("https://")
]


@pytest.mark.parametrize(("page", "link"), _RELATIVE)
def test_link_leads_to_a_file_and_a_heading(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page

    assert target.exists()
    assert not anchor or anchor in anchors(target)


def test_there_are_links() -> None:
    assert len(_RELATIVE) > 30
