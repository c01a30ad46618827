"""Real lines of runtimes and loggers, and what each of them says.

The files in `lines` say for each line how it was made: by which version of a library, or from which source. What a row
does not name is not checked, except that a handled exception is no failure, and that a line without one has none.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from telemetry_forwarder.log_formats.parser import read_line
from telemetry_forwarder.log_formats.stack_traces import MESSAGE, STACKTRACE, TYPE

FILES = sorted((Path(__file__).parent / "lines").glob("*.json"))
ROWS = [(f"{path.stem} {number}", row) for path in FILES for number, row in enumerate(json.loads(path.read_text()))]
KNOWN = {"made", "line", "severity", "exception", "uncaught", "body", "request_id", "trace_id", "span_id"}


@pytest.mark.parametrize("row", [row for _, row in ROWS], ids=[name for name, _ in ROWS])
def test_line_says(row: dict[str, Any]) -> None:
    parsed = read_line(row["line"])

    found = {name: parsed.attributes.get(name) for name in (TYPE, MESSAGE)}
    name, message = row.get("exception", (None, None))
    assert parsed.severity_number == row["severity"]
    assert found == {TYPE: name or None, MESSAGE: message}
    assert parsed.is_uncaught_exception is row.get("uncaught", False)
    for field in ("body", "request_id", "trace_id", "span_id"):
        assert getattr(parsed, field) == row.get(field, getattr(parsed, field))


@pytest.mark.parametrize("row", [row for _, row in ROWS], ids=[name for name, _ in ROWS])
def test_raw_line_is_complete(row: dict[str, Any]) -> None:
    line = row["line"]
    parsed = read_line(line, keep_raw=True)

    if isinstance(line, str):
        assert parsed.body == line.removesuffix("\n").removesuffix("\r" if line.endswith("\r\n") else "")
    assert parsed.severity_number == row["severity"]


def test_table_is_large_and_says_where_it_is_from() -> None:
    mentions = [row for name, row in ROWS if name.startswith("mentions")]

    assert len(ROWS) - len(mentions) >= 150
    assert len(mentions) >= 40
    assert all(row["made"] and row.keys() <= KNOWN for _, row in ROWS)
    assert STACKTRACE not in {key for row in mentions for key in read_line(row["line"]).attributes}
