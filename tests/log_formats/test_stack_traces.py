"""Stack traces as `lines` does not contain them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.log_formats.stack_traces import (
    MESSAGE,
    NAMES,
    STACKTRACE,
    TYPE,
    find_exception,
    find_inspected,
    find_quoted,
    has_ended_node,
)

PYTHON = "Traceback (most recent call last):"
PHP = "PHP Fatal error:  Uncaught A\\B: no in /a.php:3\nStack trace:\n#0 {main}"


@pytest.mark.parametrize(
    ("text", "name", "message", "trace"),
    [
        (f"{PYTHON}\n  x\nKeyError: 'a'\n\nDuring handling\n\n{PYTHON}\n  y\na.B", "a.B", "", None),
        (f"a\n{PYTHON}\n  x\nE: two\nlines\n", "E", "two\nlines", f"{PYTHON}\n  x\nE: two\nlines\n"),
        (f"a\r{PYTHON}\r  x\rE: no", "E", "no", f"{PYTHON}\n  x\nE: no"),
        (f"{PYTHON}\n  x\n5\n", None, None, f"{PYTHON}\n  x\n5\n"),
        (f"  + Exception Group {PYTHON}\n  | x\nExceptionGroup: two (2)", "ExceptionGroup", "two (2)", None),
        ("no\na.b.MyException: m: n\n\tat a.b.C.d(C.java:9)", "a.b.MyException", "m: n", None),
        ("failed DOMException [AbortError]: no\n    at f (a.js:1:2)", "DOMException", "no", None),
        ("Error\n    at f (a.js:1:2)", "Error", "", None),
        ("panic: a [recovered]\n\tpanic: a\n\ngoroutine 1 [running]:\nmain.main()", "panic", "a", None),
        ("/a.rb:3:in 'f': no (A::B)\n\tfrom /a.rb:9:in 'g'", "A::B", "no", None),
        (
            'failed\t{"error": "no"}\nmain.f\n\t/a.go:3\nmain.g\n\t/a.go:4',
            None,
            "no",
            "main.f\n\t/a.go:3\nmain.g\n\t/a.go:4",
        ),
        ("no\na/b.(*T).f\n\t/a.go:3", None, None, "a/b.(*T).f\n\t/a.go:3"),
        (f"{PHP}\n\nNext order", "A\\B", "no", None),
        (f"{PHP}\n\nNext C: late in /a.php:5\nStack trace:\n#0 {{main}}", "C", "late", None),
        (PHP, "A\\B", "no", "A\\B: no in /a.php:3\nStack trace:\n#0 {main}"),
    ],
)
def test_exception_is_found(text: str, name: str | None, message: str | None, trace: str | None) -> None:
    found = find_exception(text)

    assert found is not None
    assert (found.get(TYPE), found.get(MESSAGE)) == (name, message)
    assert trace in (None, found[STACKTRACE])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one line",
        "two\nlines",
        "two\rlines",
        "Trace: here\n    at f (a.js:1:2)",
        "the list\n    at the end",
        "goroutine\ngoroutine 1 [running]:",
        "no\n/a.rb:3:in 'f'",
        "a (b)\n/a.rb:3:in 'f'",
        ".rb: is Ruby\n",
        "Stack trace:\n#0 {main}",
        "no\nStack trace:\n#0 {main}",
    ],
)
def test_other_text_has_no_exception(text: str) -> None:
    assert find_exception(text) is None


@given(
    st.lists(
        st.sampled_from([PYTHON, "\n", "\r", "  x", "E: a", "\n    at f", "\n\tat a.b", "Error", ": ", PHP, " (A)"])
    )
)
def test_any_text_is_searched(parts: list[str]) -> None:
    found = find_exception("".join(parts))

    assert found is None or (set(found) <= set(NAMES) and all(isinstance(value, str) for value in found.values()))


# Printed by Node.js 20: at the end of a process, and by `console.error` of an error that was caught.
THROWN = "/var/task/app.js:9\n  throw new DemoError();\n  ^\n\nDemoError: no\n    at f (/var/task/app.js:9:45)\n"
SYNTAX_ERROR = "/var/task/bad.js:1\nconst x = ;\n          ^\n\nSyntaxError: Unexpected token\n    at f (a.js:1:2)\n"


@pytest.mark.parametrize(
    ("text", "has_ended"),
    [
        (THROWN, True),
        (THROWN + "\nNode.js v20.20.2", True),
        (THROWN.replace("/var", "file:///var"), True),
        (SYNTAX_ERROR, False),
        (SYNTAX_ERROR + "\nNode.js v20.20.2\n", True),
        ("app.js:9\n" + THROWN, False),
        ("DemoError: no\n    at f (/var/task/app.js:9:45)", False),
    ],
)
def test_end_of_node(text: str, has_ended: bool) -> None:
    assert has_ended_node(text, find_exception(text) or {}) is has_ended


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("[OrderError: no] { code: 'E' }", "OrderError", "no"),
        ("failed [TypeError: x [y] z]", "TypeError", "x [y] z"),
        ("{ a: 1, e: [AssertionError [ERR_ASSERTION]: no] }", "AssertionError", "no"),
        ("[\n  [a.b.SomeException: no],\n  2\n]", "a.b.SomeException", "no"),
        ("[Error: one", None, None),
        ("[Error: " + "x" * 3_000 + "]", None, None),
        ("x[Error: no]", None, None),
        ("[Error] no", None, None),
        ("[Errors: none]", None, None),
    ],
)
def test_error_that_node_printed_without_a_stack(text: str, name: str | None, message: str | None) -> None:
    assert find_inspected(text) == ({TYPE: name, MESSAGE: message} if name else None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            r'level=error exc="Traceback (most recent call last):\n  File \"a\\b\"\nE: it is \"no\"" order=7',
            'it is "no"',
        ),
        (r"exc='Traceback (most recent call last):\n  File \"a\"\nE: no'", "no"),
        (r'exc="Traceback (most recent call last):\n  File', None),
        ("a='Traceback' b=\"Trace\"", ""),
    ],
)
def test_stack_trace_in_a_field(text: str, message: str | None) -> None:
    found = find_quoted(text)

    assert (found or {MESSAGE: ""}).get(MESSAGE) == message
