"""Every row of the troubleshooting page has a test that provokes its symptom."""

import pytest

from tests.docs.pages import DOCS, rows
from tests.docs.symptoms import LINES, SYMPTOMS, TOTALS
from tests.support.paths import PROJECT

_TABLES = {"## Log lines": LINES, "## The totals at shutdown": TOTALS, "## Symptoms": SYMPTOMS}
_TESTS = sorted({test for table in _TABLES.values() for test in table.values()})


@pytest.mark.parametrize("heading", _TABLES)
def test_every_row_has_a_test(heading: str) -> None:
    cells = [row[0] for row in rows(DOCS / "troubleshooting.md", heading)]

    tested = list(_TABLES[heading])

    assert len(cells) == len(tested)
    assert [words for words, cell in zip(tested, cells, strict=True) if words not in cell] == []


@pytest.mark.parametrize("test", _TESTS)
def test_test_exists(test: str) -> None:
    path, _, name = test.partition("::")

    assert f"def {name}(" in (PROJECT / path).read_text()


@pytest.mark.parametrize(("words", "test"), sorted((LINES | TOTALS).items()))
def test_test_looks_for_the_line(words: str, test: str) -> None:
    assert words in (PROJECT / test.partition("::")[0]).read_text()
