"""The architecture page shows the layers and the pure packages that tests/architecture enforces."""

import re

from tests.architecture.test_imports import PURE_PACKAGES, ROWS
from tests.docs.pages import DOCS

_PAGE = (DOCS / "architecture.md").read_text()


def test_page_shows_the_rows_of_packages() -> None:
    _, _, after = _PAGE.partition("## Packages")
    shown = re.split(r"^```$", after, flags=re.MULTILINE)[1]

    assert _rows(shown) == _rows(ROWS)


def test_page_names_every_pure_package() -> None:
    _, _, after = _PAGE.partition("These do no I/O")
    named = re.findall(r"`(\w+)`", after.partition("and of `buffer`")[0])

    assert sorted(named) == sorted(PURE_PACKAGES)


def _rows(text: str) -> list[list[str]]:
    return [row.split() for row in text.strip().splitlines()]
