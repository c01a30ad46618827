"""Every guarantee names tests that exist."""

import re

import pytest

from tests.docs.pages import DOCS
from tests.support.paths import PROJECT

_PAGE = DOCS / "guarantees.md"
_NAMED = sorted(set(re.findall(r"`(tests/[\w/]*test_\w+\.py)(?:::(\w+))?`", _PAGE.read_text())))


@pytest.mark.parametrize(("path", "name"), _NAMED)
def test_named_test_exists(path: str, name: str) -> None:
    assert (PROJECT / path).is_file()
    assert not name or re.search(rf"^ *def {name}\(", (PROJECT / path).read_text(), re.MULTILINE)


def test_every_guarantee_names_a_test() -> None:
    promised, _, _ = _PAGE.read_text().partition("## Not guaranteed")
    table_rows = [line for line in promised.splitlines() if re.match(r"\| (?!guarantee \||---)", line)]

    assert len(table_rows) > 15
    assert [row for row in table_rows if "`tests/" not in row] == []
