"""Log lines that the documentation quotes are those that the product writes."""

import ast
import re
from collections.abc import Iterator

import pytest

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.diagnostics import MARK
from tests.docs.pages import DOCS, rows
from tests.support.paths import PRODUCT, PROJECT

# What stands in a quote for a value.
_VALUE = re.compile(r"…|\b[NM]\b")


def _templates() -> Iterator[str]:
    for path in PRODUCT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
    yield (PROJECT / "extension" / "telemetry-forwarder").read_text()


_TEMPLATES = list(_templates())


def _quotes(heading: str) -> list[str]:
    """Return the quotes of the first column, and those of the others that begin with a value."""
    table = rows(DOCS / "troubleshooting.md", heading)
    first = [quote for row in table for quote in re.findall(r"`([^`]+)`", row[0])]
    return first + [quote for row in table for cell in row[1:] for quote in re.findall(r"`(… [^`]+)`", cell)]


def _fragments(quote: str) -> list[str]:
    return [text for fragment in _VALUE.split(quote) if (text := fragment.strip(" ()"))]


@pytest.mark.parametrize("quote", _quotes("## Log lines"))
def test_quoted_log_line_is_one_that_is_written(quote: str) -> None:
    fragments = _fragments(quote)

    assert fragments
    assert [text for text in _TEMPLATES if all(fragment in text for fragment in fragments)]


@pytest.mark.parametrize("quote", _quotes("## The totals at shutdown"))
def test_quoted_part_of_the_totals_is_written(quote: str) -> None:
    for fragment in _fragments(quote):
        assert [text for text in _TEMPLATES if fragment in text]


def test_example_of_the_totals_is_what_the_ledger_writes() -> None:
    ledger = Ledger()
    ledger.records_received += 21
    ledger.received(LOGS, 21)
    ledger.delivered(LOGS, 21)

    until_traces = ledger.summary().partition("; traces")[0]

    assert f"{MARK} INFO {until_traces}; traces" in (DOCS / "delivery.md").read_text()


def test_words_of_the_totals_are_explained() -> None:
    words = [row[0].strip("`") for row in rows(DOCS / "delivery.md", "## Where an item can be")]

    source = (PRODUCT / "buffer" / "ledger.py").read_text()

    assert len(words) > 5
    assert [word for word in words if word not in source] == []
