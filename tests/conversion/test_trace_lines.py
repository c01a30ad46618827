"""Which lines continue a stack trace; `test_line_joiner` has whole traces."""

from collections.abc import Sequence

import pytest

from telemetry_forwarder.conversion.trace_lines import TraceLines, is_pair

FRAME = "\tat com.example.Cart.load(Cart.java:12)"


def accepted(first: str, texts: Sequence[str]) -> list[str]:
    """Return those of *texts* that continue a trace that begins with *first*, up to the first that does not."""
    run = TraceLines(first)
    for number, text in enumerate(texts):
        if not run.accepts(text, lambda ahead, at=number: [*texts, *[""] * 99][at + ahead]):  # type: ignore[misc]
            break
        run.add(text)
    return run.lines[1:]


@pytest.mark.parametrize(
    ("first", "texts", "count"),
    [
        ("java.lang.Error: x", ["y", "z", FRAME, "w"], 3),
        ("java.lang.Error: x", ["y", "z"], 0),
        ("java.lang.Error: x", ["y", "java.lang.Error: z", FRAME], 0),
        ("java.lang.Error: x", ["y", "[INFO] z", FRAME], 0),
        ("java.lang.Error: x", [*["y"] * 18, FRAME], 19),
        ("java.lang.Error: x", [*["y"] * 20, FRAME], 0),
        ("java.lang.Error: x", [FRAME, "y", FRAME], 1),
        ("java.lang.Error: x", [FRAME, "Caused by: java.lang.Error: y", "z", "\t... 2 more", "w"], 4),
        ("order 7", ["y", FRAME], 0),
        ("RuntimeException: x", ["y in /a.php:3", "Stack trace:", "#0 {main}", "Next LogicException: z", "#0 x"], 5),
        (
            "RuntimeException: x",
            ["Stack trace:", "#0 {main}", "", "Next A\\B: z in /a.php:3", "Stack trace:", "#0 x"],
            6,
        ),
        ("Traceback (most recent call last):", ['  File "a.py", line 1, in f', "KeyError: 7", "Next retry in 5 s"], 2),
        ("java.lang.Error: x", [FRAME, "Next retry in 5 s"], 1),
        ("order 7", ["main.f", "\t/a.go:3", "main.(*T).g", "\t/a.go:4", "main.h"], 4),
        ("order 7", ["the main.f", "\t/a.go:3"], 0),
        ("fail: A.B[0]", ["      x", "", "      y", "z"], 3),
        ("/a.py:3: UserWarning: x", ["  f()", "  y"], 1),
        ("/a.py:3: UserWarning: x", ["y"], 0),
        ("Sep 22, 2026 6:30:00 AM A b", ["INFO: x", "y"], 1),
        ("Sep 22, 2026 6:30:00 AM A b", ["SEVERE: x", "java.lang.Error: y", FRAME], 3),
        ("Sep 22, 2026 6:30:00 AM A b", ["INFO: x", "  y"], 1),
        ("Sep 22, 2026 6:30:00 AM A b", ["SEVERE: x", "at the end"], 1),
        ("Sep 22, 2026 6:30:00 AM A b", ["SEVERE: x", "", "Traceback (most recent call last):", '  File "a.py"'], 4),
        ("Sep 22, 2026 6:30:00 AM A b", ["y"], 0),
    ],
)
def test_line_continues_a_trace(first: str, texts: list[str], count: int) -> None:
    assert accepted(first, texts) == texts[:count]


def test_object_ends_with_its_bracket() -> None:
    run = TraceLines("{")
    run.add('  "errorType": "Function<KeyError>"')
    assert not run.is_complete
    run.add("}")
    assert run.is_complete


def test_logger_with_two_lines_for_each_record() -> None:
    assert is_pair(["info: A.B[0]", "      x"])
    assert not is_pair(["info: A.B[0]", "x"])
    assert not is_pair(["java.lang.Error: x", FRAME])
