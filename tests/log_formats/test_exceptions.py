from typing import Any

import pytest

from telemetry_forwarder.log_formats.exceptions import (
    join_stack_trace,
    parse_dotnet,
    parse_java,
    parse_node,
    parse_object,
    parse_python,
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
