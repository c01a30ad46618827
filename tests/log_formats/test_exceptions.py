from typing import Any

import pytest

from telemetry_forwarder.log_formats.exceptions import (
    has_only_lines,
    is_rust_report,
    join_stack_trace,
    parse_dotnet,
    parse_ended,
    parse_java,
    parse_node,
    parse_object,
    parse_python,
    read_error,
)
from tests.support.lines import exception

TRACE = "Traceback (most recent call last):"
JAVA_TRACE = "a.E: no\n\tat a.B.c(B.java:9)"
DOTNET = "System.Exception: no\n   at App.F()"


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        (f"ValueError: a: b\n{TRACE}\n  x", exception("ValueError", "a: b", f"{TRACE}\n  x")),
        (f"ValueError: a\r{TRACE}\r  x", exception("ValueError", "a", f"{TRACE}\n  x")),
        (f"KeyError\n{TRACE}", exception("KeyError", "", TRACE)),
        ("ValueError: no traceback", None),
        (f"5: a\n{TRACE}", None),
    ],
)
def test_python(text: str, attributes: dict[str, str] | None) -> None:
    assert parse_python(text) == attributes


@pytest.mark.parametrize(
    ("text", "attributes"),
    [(f"no: a.E\n{JAVA_TRACE}", exception("a.E", "no", JAVA_TRACE)), (JAVA_TRACE, None), ("no: a.E\na.E: no", None)],
)
def test_java(text: str, attributes: dict[str, str] | None) -> None:
    assert parse_java(text) == attributes


@pytest.mark.parametrize(
    ("text", "attributes"), [(DOTNET, exception("System.Exception", "no", DOTNET)), ("System.Exception: no", None)]
)
def test_dotnet(text: str, attributes: dict[str, str] | None) -> None:
    assert parse_dotnet(text) == attributes


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ('Invoke Error \t{"errorType":"E","errorMessage":"no"}', exception("E", "no")),
        ('Uncaught Exception\t{"errorType":"E"}', {}),
        ('Unhandled Promise Rejection \t{"errorType":', {}),
        ('Error {"errorType":"E","errorMessage":"no"}', None),
    ],
)
def test_node(text: str, attributes: dict[str, str] | None) -> None:
    assert parse_node(text) == attributes


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        ({"errorType": "E", "errorMessage": "no"}, exception("E", "no")),
        *[
            ({"errorType": "E", "errorMessage": "no", key: ["a", "b"]}, exception("E", "no", "a\nb"))
            for key in ("stack", "stackTrace", "trace")
        ],
        ({"errorType": "E"}, None),
        ({"errorType": 5, "errorMessage": "no"}, None),
        ({}, None),
    ],
)
def test_error_object(error: dict[str, Any], attributes: dict[str, str] | None) -> None:
    assert parse_object(error) == attributes


@pytest.mark.parametrize(
    ("trace", "text"),
    [
        (["a", "b"], "a\nb"),
        (["a\n", "b\n"], "a\nb\n"),
        ("a\nb", "a\nb"),
        ("one line is not a stack trace", ""),
        (["a", 5], ""),
        ([], ""),
        (None, ""),
        (5, ""),
    ],
)
def test_stack_trace_is_joined(trace: Any, text: str) -> None:
    assert join_stack_trace(trace) == text


GO_FRAME = {"path": "main.go", "line": 12, "label": "handler"}
LOG4J_FRAME = {"class": "a.B", "method": "c", "file": "B.java", "line": 9, "exact": False}


def test_frames_become_lines() -> None:
    assert join_stack_trace([GO_FRAME, LOG4J_FRAME]) == "    at handler (main.go:12)\n    at a.B.c (B.java:9)"
    assert (has_only_lines([GO_FRAME]), has_only_lines([LOG4J_FRAME]), has_only_lines("a\nb")) == (True, False, True)


@pytest.mark.parametrize("trace", [[{"a": 1}], [{"line": 1}, 5], [1, "a"], [], 5, None, "one line"])
def test_other_values_are_no_stack_trace(trace: Any) -> None:
    assert join_stack_trace(trace) in ("", "    at  (1)")


@pytest.mark.parametrize(
    ("error", "found", "rest"),
    [
        ({"type": "E", "message": "no"}, exception("E", "no"), None),
        ({"Name": "E", "Message": "no", "code": 5}, exception("E", "no"), {"code": 5}),
        ({"name": "E", "message": "no", "stack": ["E: no", "  at x"]}, exception("E", "no", "E: no\n  at x"), None),
        ({"stack": "E.Error: no\n    at x"}, exception("E.Error", "no", "E.Error: no\n    at x"), None),
        ({"className": "E", "message": "no", "stepArray": [GO_FRAME]},
         exception("E", "no", "    at handler (main.go:12)"), {"stepArray": [GO_FRAME]}),
        ({"name": "not a class", "message": "no", "stack": "a\nb"},
         {"exception.message": "no", "exception.stacktrace": "a\nb"}, {"name": "not a class"}),
        ([{"exc_type": "E", "exc_value": "no"}, 5], exception("E", "no"), [{"exc_type": "E", "exc_value": "no"}, 5]),
        ("E: no\n    at x", {"exception.stacktrace": "E: no\n    at x"}, None),
    ],
)  # fmt: skip
def test_error_of_a_logger(error: Any, found: dict[str, str], rest: Any) -> None:
    assert read_error(error) == (found, rest)


@pytest.mark.parametrize("error", [None, 5, "no", {}, {"name": "E"}, {"message": "no"}, {"code": 5}, [], [5], [{}]])
def test_other_values_are_no_error(error: Any) -> None:
    assert read_error(error) is None


@pytest.mark.parametrize("text", ["Unhandled exception", "thread 'a' started", "Fatal error: no", "panicked"])
def test_other_text_is_not_the_end_of_a_process(text: str) -> None:
    assert parse_ended(text) is None


def test_last_of_phps_exceptions_ended_the_process() -> None:
    php = "PHP Fatal error:  Uncaught A: no in /a.php:3\nStack trace:\n#0 {main}\n\nNext B: late in /a.php:5\n"

    assert (parse_ended(f"{php}Stack trace:\n#0 {{main}}") or {}).get("exception.type") == "B"
    assert (parse_ended(php) or {}).get("exception.type") == "A"


def test_dotnets_exception_with_a_line_like_phps_ended_the_process() -> None:
    dotnet = "Unhandled Exception: A.BException: no\n ---> C.DException: x\n   at E.F()\n\nNext step"

    assert (parse_ended(dotnet) or {}).get("exception.type") == "A.BException"


INVOKE = {"requestId": "a", "name": "Lambda runtime invoke"}


@pytest.mark.parametrize(
    ("record", "message", "is_report"),
    [
        ({"target": "lambda_runtime::layers::panic"}, "no", True),
        ({"target": "lambda_runtime"}, 5, False),
        ({"target": "app", "span": INVOKE}, '"no"', False),
        ({"span": INVOKE}, '"no such order"', True),
        ({"spans": [INVOKE]}, "NotFound", True),
        ({"spans": [INVOKE]}, 'sqlx::Error(Io, Os { code: 5, message: "no" })', True),
        ({"spans": [INVOKE]}, "Failed { order: 7 }", True),
        ({"spans": [INVOKE]}, "user handler panicked", True),
        ({"spans": [INVOKE]}, "no such order", False),
        ({"spans": [INVOKE]}, "Order 7 failed", False),
        ({"spans": [INVOKE, {"name": "load"}]}, '"no"', False),
        ({"spans": INVOKE}, '"no"', False),
        ({"spans": ["Lambda runtime invoke"]}, '"no"', False),
        ({}, '"no"', False),
    ],
)
def test_report_of_rusts_client(record: dict[str, Any], message: Any, is_report: bool) -> None:
    assert is_rust_report(record, message) is is_report
