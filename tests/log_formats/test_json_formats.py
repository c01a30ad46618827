"""JSON loggers, each with a line as its source or documentation prints it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.log_formats.json_formats import read_key_by_key, read_object
from telemetry_forwarder.log_formats.json_keys import CONTAINERS, FIELD_OF
from telemetry_forwarder.log_formats.parsed_line import ParsedLine
from telemetry_forwarder.log_formats.parser import read_line
from tests.support.lines import ID, ISO, SECOND_NS, SPAN_ID, TIME_NS, TRACE_ID, exception, line, read
from tests.support.properties import FAST

SECONDS_ISO = "2026-09-22T06:30:00Z"
XRAY = "1-5759e988-bd862e3fe1be46a994272793"
HEADER = f"Root={XRAY};Parent={SPAN_ID};Sampled=1"
FRAMES = ['  File "/var/task/app.py", line 5, in handler\n    raise ValueError("no")\n']
TRACE = "".join(FRAMES)
NODE_ERROR = {"errorType": "TypeError", "errorMessage": "no", "stackTrace": ["TypeError: no", "    at y"], "code": 5}
NODE_EXCEPTION = exception("TypeError", "no", "TypeError: no\n    at y")
JAVA = "no: java.lang.IllegalStateException\njava.lang.IllegalStateException: no\n\tat a.B.c(B.java:9)\n"

TABLE: dict[str, tuple[dict[str, Any], ParsedLine]] = {
    "python": (
        {"timestamp": SECONDS_ISO, "level": "INFO", "message": "hello", "logger": "root", "requestId": ID},
        line("hello", 9, "INFO", time_ns=SECOND_NS, request_id=ID, attributes={"logger": "root"}),
    ),
    "python outside of invocations": (
        {"timestamp": SECONDS_ISO, "level": "INFO", "message": "hello", "requestId": ""},
        line("hello", 9, "INFO", time_ns=SECOND_NS),
    ),
    "python with everything": (
        {"level": "WARNING", "message": {"order": 5}, "tenantId": "t", "extra": {"a": [1, None, 0.5]}, "no": None},
        line({"order": 5}, 13, "WARNING", attributes={"tenantId": "t", "extra": {"a": [1, None, 0.5]}, "no": None}),
    ),
    "python, a caught exception": (
        {
            "timestamp": SECONDS_ISO,
            "level": "ERROR",
            "message": "caught",
            "stackTrace": FRAMES,
            "errorType": "ValueError",
            "errorMessage": "no",
            "requestId": ID,
            "location": "/var/task/app.py:handler:5",
        },
        line(
            "caught",
            17,
            "ERROR",
            time_ns=SECOND_NS,
            request_id=ID,
            attributes={"location": "/var/task/app.py:handler:5", **exception("ValueError", "no", TRACE)},
        ),
    ),
    "python, uncaught exception": (
        {
            "timestamp": SECONDS_ISO,
            "log_level": "ERROR",
            "errorMessage": "no",
            "errorType": "ValueError",
            "requestId": ID,
            "stackTrace": FRAMES,
        },
        line(
            "no",
            17,
            "ERROR",
            time_ns=SECOND_NS,
            request_id=ID,
            attributes=exception("ValueError", "no", TRACE),
            is_uncaught_exception=True,
        ),
    ),
    "python, uncaught exception without frames": (
        {
            "timestamp": SECONDS_ISO,
            "log_level": "ERROR",
            "errorMessage": "no",
            "errorType": "Runtime.ImportModuleError",
            "requestId": "",
            "stackTrace": [],
        },
        line(
            "no",
            17,
            "ERROR",
            time_ns=SECOND_NS,
            attributes={"stackTrace": [], **exception("Runtime.ImportModuleError", "no")},
            is_uncaught_exception=True,
        ),
    ),
    "an error response of another function": (
        {"errorMessage": "no", "errorType": "ValueError", "stackTrace": FRAMES},
        line("no", attributes=exception("ValueError", "no", TRACE)),
    ),
    "node": (
        {"timestamp": ISO, "level": "INFO", "requestId": ID, "tenantId": "t", "message": "hello"},
        line("hello", 9, "INFO", time_ns=TIME_NS, request_id=ID, attributes={"tenantId": "t"}),
    ),
    "node with a number": (
        {"timestamp": ISO, "level": "INFO", "requestId": ID, "message": 0},
        line(0, 9, "INFO", time_ns=TIME_NS, request_id=ID),
    ),
    "node with an array, on an error": ({"level": "ERROR", "message": ["a", 1]}, line(["a", 1], 17, "ERROR")),
    "node with null": ({"level": "INFO", "message": None}, line({"level": "INFO", "message": None}, 9, "INFO")),
    "node, a caught exception": (
        {"level": "ERROR", "message": "caught Error: no", **NODE_ERROR},
        line("caught Error: no", 17, "ERROR", attributes={"code": 5, **NODE_EXCEPTION}),
    ),
    "node, uncaught exception": (
        {"timestamp": ISO, "level": "ERROR", "requestId": ID, "message": NODE_ERROR},
        line(
            "no",
            17,
            "ERROR",
            time_ns=TIME_NS,
            request_id=ID,
            attributes={"code": 5, **NODE_EXCEPTION},
            is_uncaught_exception=True,
        ),
    ),
    "node, an error below level ERROR": (
        {"level": "WARN", "message": NODE_ERROR},
        line("no", 13, "WARN", attributes={"code": 5, **NODE_EXCEPTION}),
    ),
    "node, an error without a stack": (
        {"level": "ERROR", "message": {"errorType": "a", "errorMessage": "b"}},
        line("b", 17, "ERROR", attributes=exception("a", "b")),
    ),
    "node, a user's object": ({"level": "ERROR", "message": {"order": 5}}, line({"order": 5}, 17, "ERROR")),
    "java": (
        {"timestamp": ISO, "message": "hello", "level": "INFO", "AWSRequestId": ID},
        line("hello", 9, "INFO", time_ns=TIME_NS, request_id=ID),
    ),
    "java as its documentation spells it": (
        {"message": "hello", "level": "INFO", "AWSrequestId": ID},
        line("hello", 9, "INFO", request_id=ID),
    ),
    "java, uncaught exception": (
        {"message": JAVA, "level": "ERROR", "AWSRequestId": ID},
        line(
            JAVA,
            17,
            "ERROR",
            request_id=ID,
            attributes=exception("java.lang.IllegalStateException", "no", JAVA.split("\n", 1)[1]),
            is_uncaught_exception=True,
        ),
    ),
    ".net": (
        {"timestamp": ISO, "level": "Information", "requestId": ID, "traceId": HEADER, "message": "5 of 6", "n": 5},
        line(
            "5 of 6",
            9,
            "Information",
            time_ns=TIME_NS,
            request_id=ID,
            attributes={"n": 5, "traceId": HEADER},
            trace_id=TRACE_ID,
        ),
    ),
    ".net, uncaught exception": (
        {
            "timestamp": ISO,
            "level": "Error",
            "message": None,
            "errorType": "System.Exception",
            "errorMessage": "no",
            "stackTrace": ["System.Exception: no", "at F()"],
        },
        line(
            "no",
            17,
            "Error",
            time_ns=TIME_NS,
            attributes={"message": None, **exception("System.Exception", "no", "System.Exception: no\nat F()")},
            is_uncaught_exception=True,
        ),
    ),
    "ruby": (
        {"timestamp": "2026-09-22T06:30:00.123456Z", "level": "WARN", "message": "hello", "requestId": ID},
        line("hello", 13, "WARN", time_ns=TIME_NS + 456_000, request_id=ID),
    ),
    "ruby, uncaught exception": (
        {"errorMessage": "no", "errorType": "Function<TypeError>", "stackTrace": ["a.rb:3:in `f'", "b.rb:4:in `g'"]},
        line(
            "no",
            17,
            attributes=exception("Function<TypeError>", "no", "a.rb:3:in `f'\nb.rb:4:in `g'"),
            is_uncaught_exception=True,
        ),
    ),
    "rust tracing": (
        {
            "timestamp": "2026-09-22T06:30:00.123456Z",
            "level": "INFO",
            "fields": {"message": "hello", "order": 5},
            "target": "app",
            "span": {"requestId": ID, "name": "Lambda runtime invoke"},
        },
        line(
            "hello",
            9,
            "INFO",
            time_ns=TIME_NS + 456_000,
            request_id=ID,
            attributes={
                "fields": {"order": 5},
                "target": "app",
                "span": {"requestId": ID, "name": "Lambda runtime invoke"},
            },
        ),
    ),
    "rust tracing with a message alone": (
        {"level": "INFO", "fields": {"message": "hello"}, "target": "app"},
        line("hello", 9, "INFO", attributes={"target": "app"}),
    ),
    "rust tracing without a message": (
        {"level": "INFO", "fields": {"order": 5}},
        line({"level": "INFO", "fields": {"order": 5}}, 9, "INFO"),
    ),
    "powertools python": (
        {
            "level": "ERROR",
            "location": "handler:7",
            "message": "hello",
            "timestamp": "2026-09-22 06:30:00,123+0000",
            "service": "payment",
            "cold_start": True,
            "function_memory_size": "128",
            "function_request_id": ID,
            "xray_trace_id": XRAY,
            "exception": f"Traceback\n{TRACE}",
            "exception_name": "ValueError",
        },
        line(
            "hello",
            17,
            "ERROR",
            time_ns=TIME_NS,
            request_id=ID,
            attributes={
                "location": "handler:7",
                "service": "payment",
                "cold_start": True,
                "function_memory_size": "128",
                "exception.type": "ValueError",
                "exception.stacktrace": f"Traceback\n{TRACE}",
            },
            trace_id=TRACE_ID,
        ),
    ),
    "powertools typescript": (
        {
            "level": "INFO",
            "message": "hello",
            "sampling_rate": 0,
            "service": "payment",
            "timestamp": ISO,
            "xray_trace_id": XRAY,
            "error": {"name": "Error", "stack": "Error: no\n    at x"},
        },
        line(
            "hello",
            9,
            "INFO",
            time_ns=TIME_NS,
            attributes={"sampling_rate": 0, "service": "payment", **exception("Error", "no", "Error: no\n    at x")},
            trace_id=TRACE_ID,
        ),
    ),
    "powertools .net": (
        {"Timestamp": ISO, "Level": "Warning", "Message": "hello", "FunctionRequestId": ID, "XRayTraceId": XRAY},
        line("hello", 13, "Warning", time_ns=TIME_NS, request_id=ID, trace_id=TRACE_ID),
    ),
    "pino": (
        {"level": 30, "time": 1790058600123, "pid": 8, "hostname": "h", "msg": "hello"},
        line("hello", 9, "30", time_ns=TIME_NS, attributes={"pid": 8, "hostname": "h"}),
    ),
    "pino-lambda": (
        {"awsRequestId": ID, "x-correlation-id": "c", "level": 50, "time": 1790058600123, "msg": "no"},
        line("no", 17, "50", time_ns=TIME_NS, request_id=ID, attributes={"x-correlation-id": "c"}),
    ),
    "bunyan": (
        {"name": "app", "hostname": "h", "pid": 8, "level": 60, "msg": "no", "time": ISO, "v": 0},
        line("no", 21, "60", time_ns=TIME_NS, attributes={"name": "app", "hostname": "h", "pid": 8, "v": 0}),
    ),
    "winston": (
        {"level": "verbose", "message": "hello", "timestamp": ISO, "stack": "Error: no\n    at x"},
        line("hello", 6, "verbose", time_ns=TIME_NS, attributes=exception("Error", "no", "Error: no\n    at x")),
    ),
    "structlog": (
        {"event": "hello", "level": "warning", "timestamp": "2026-09-22T06:30:00.123456Z", "order": 5},
        line("hello", 13, "warning", time_ns=TIME_NS + 456_000, attributes={"order": 5}),
    ),
    "python-json-logger": (
        {
            "asctime": "2026-09-22 06:30:00,123",
            "levelname": "ERROR",
            "levelno": 40,
            "message": "no",
            "exc_info": "a\nb",
        },
        line("no", 17, "ERROR", time_ns=TIME_NS, attributes={"levelno": 40, "exception.stacktrace": "a\nb"}),
    ),
    "python numbers": ({"levelno": 30, "msg": "hello"}, line("hello", 13, "30")),
    "opentelemetry in python's logging": (
        {"message": "hello", "otelTraceID": TRACE_ID, "otelSpanID": SPAN_ID, "otelServiceName": "s"},
        line("hello", attributes={"otelServiceName": "s"}, trace_id=TRACE_ID, span_id=SPAN_ID),
    ),
    "opentelemetry outside of a span": (
        {"message": "hello", "otelTraceID": "0", "otelSpanID": "0"},
        line("hello", attributes={"otelTraceID": "0", "otelSpanID": "0"}),
    ),
    "log4j2": (
        {
            "instant": {"epochSecond": 1790058600, "nanoOfSecond": 123000001},
            "thread": "main",
            "level": "INFO",
            "loggerName": "app",
            "message": "hello",
            "contextMap": {"AWSRequestId": ID},
        },
        line(
            "hello",
            9,
            "INFO",
            time_ns=TIME_NS + 1,
            request_id=ID,
            attributes={"thread": "main", "loggerName": "app", "contextMap": {"AWSRequestId": ID}},
        ),
    ),
    "log4j 2, old layout": (
        {"timeMillis": 1790058600123, "level": "FATAL", "message": "no"},
        line("no", 21, "FATAL", time_ns=TIME_NS),
    ),
    "logback": (
        {
            "@timestamp": "2026-09-22T08:30:00.123+02:00",
            "@version": "1",
            "message": "no",
            "logger_name": "app",
            "level": "ERROR",
            "level_value": 40000,
            "stack_trace": "java.lang.Error: no\n\tat x",
        },
        line(
            "no",
            17,
            "ERROR",
            time_ns=TIME_NS,
            attributes={
                "@version": "1",
                "logger_name": "app",
                "level_value": 40000,
                **exception("java.lang.Error", "no", "java.lang.Error: no\n\tat x"),
            },
        ),
    ),
    "elastic common schema": (
        {"@timestamp": ISO, "log.level": "INFO", "message": "hello", "trace.id": TRACE_ID, "span.id": SPAN_ID},
        line("hello", 9, "INFO", time_ns=TIME_NS, trace_id=TRACE_ID, span_id=SPAN_ID),
    ),
    "serilog, compact": (
        {
            "@t": "2026-09-22T06:30:00.1230000Z",
            "@mt": "User {Name}",
            "@l": "Warning",
            "@x": "E: no\n   at F",
            "Name": "a",
        },
        line(
            "User {Name}",
            13,
            "Warning",
            time_ns=TIME_NS,
            attributes={"Name": "a", "exception.stacktrace": "E: no\n   at F"},
        ),
    ),
    "serilog, rendered": (
        {"@t": ISO, "@m": "User a", "@mt": "User {Name}"},
        line("User a", 9, time_ns=TIME_NS, attributes={"@mt": "User {Name}"}),
    ),
    "serilog, in full": (
        {"Timestamp": ISO, "Level": "Verbose", "MessageTemplate": "User {Name}", "Properties": {"Name": "a"}},
        line("User {Name}", 1, "Verbose", time_ns=TIME_NS, attributes={"Properties": {"Name": "a"}}),
    ),
    "zap": (
        {"level": "dpanic", "ts": 1790058600.123, "caller": "app/main.go:9", "msg": "no"},
        line("no", 18, "dpanic", time_ns=TIME_NS, attributes={"caller": "app/main.go:9"}),
    ),
    "zerolog": (
        {"level": "info", "time": 1790058600, "message": "hello", "order": 5},
        line("hello", 9, "info", time_ns=SECOND_NS, attributes={"order": 5}),
    ),
    "slog": (
        {"time": "2026-09-22T06:30:00.123456789Z", "level": "INFO+2", "msg": "hello", "g": {"a": 1}},
        line("hello", 11, "INFO+2", time_ns=TIME_NS + 456_789, attributes={"g": {"a": 1}}),
    ),
    "gelf": (
        {"version": "1.1", "short_message": "hello", "level": 6},
        line("hello", 9, "6", attributes={"version": "1.1"}),
    ),
    "gelf with a message in full": (
        {"short_message": "hello", "full_message": "hello\nworld"},
        line("hello", attributes={"full_message": "hello\nworld"}),
    ),
    "exact keys behind other spellings": (
        {"_level": "info", "severity": "ERROR", "_message": "y", "message": "x"},
        line("x", 17, "ERROR", attributes={"_level": "info", "_message": "y"}),
    ),
    "w3c ids": (
        {"msg": "hello", "traceId": TRACE_ID.upper(), "spanId": SPAN_ID, "trace_flags": "01"},
        line("hello", attributes={"trace_flags": "01"}, trace_id=TRACE_ID, span_id=SPAN_ID),
    ),
    "two traces": (
        {"msg": "hello", "xray_trace_id": XRAY, "trace_id": "f" * 32},
        line("hello", attributes={"xray_trace_id": XRAY}, trace_id="f" * 32),
    ),
    "an invalid trace id": ({"msg": "hello", "trace_id": 5}, line("hello", attributes={"trace_id": 5})),
    "a span id without a trace id": (
        {"msg": "hello", "span_id": SPAN_ID},
        line("hello", attributes={"span_id": SPAN_ID}),
    ),
    "an unknown level": (
        {"message": "hello", "level": "gold", "severity": "NOTICE"},
        line("hello", 10, "NOTICE", attributes={"level": "gold"}),
    ),
    "levels of other types": (
        {"message": "hello", "level": True, "severity": {"n": 1}, "levelno": "x"},
        line("hello", attributes={"level": True, "severity": {"n": 1}, "levelno": "x"}),
    ),
    "an impossible date": (
        {"message": "hello", "timestamp": "2026-02-30T00:00:00Z", "time": 0.53},
        line("hello", attributes={"timestamp": "2026-02-30T00:00:00Z", "time": 0.53}),
    ),
    "a second timestamp if the first is invalid": (
        {"message": "hello", "timestamp": "noon", "ts": 1790058600123},
        line("hello", time_ns=TIME_NS, attributes={"timestamp": "noon"}),
    ),
    "invalid instants": (
        {"message": "hello", "instant": {"epochSecond": 1790058600}, "Instant": {"epochSecond": 5, "nanoOfSecond": 5}},
        line(
            "hello",
            attributes={"instant": {"epochSecond": 1790058600}, "Instant": {"epochSecond": 5, "nanoOfSecond": 5}},
        ),
    ),
    "one name in two cases": (
        {"message": "a", "Message": "b", "MSG": "c"},
        line("a", attributes={"Message": "b", "MSG": "c"}),
    ),
    "a user's id": ({"message": "hello", "request_id": "req-1"}, line("hello", attributes={"request_id": "req-1"})),
    "an id under a common name": ({"message": "hello", "request_id": ID}, line("hello", request_id=ID)),
    "an invalid id": (
        {"message": "hello", "requestId": 5, "AWSRequestId": "no id at all"},
        line("hello", attributes={"requestId": 5, "AWSRequestId": "no id at all"}),
    ),
    "an error type alone": (
        {"message": "hello", "errorType": "validation", "errorMessage": None},
        line("hello", attributes={"errorType": "validation", "errorMessage": None}),
    ),
    "an exception under conventional names": (
        {"message": "no", "exception.type": 5, "errorType": "E", "errorMessage": "m"},
        line("no", attributes={**exception("E", "m"), "lambda.line.exception.type": 5}),
    ),
    "a stack of another type": (
        {"message": "hello", "stack": "my-stack", "stackTrace": [1, "a"]},
        line("hello", attributes={"stack": "my-stack", "stackTrace": [1, "a"]}),
    ),
    "an object in the message that is no line": ({"message": '{"a":1}', "n": 1}, line('{"a":1}', attributes={"n": 1})),
    "no message": ({"hello": "world"}, line({"hello": "world"})),
    "everything but a message": (
        {"level": "INFO", "time": ISO, "requestId": ID, "trace_id": TRACE_ID, "event": {"a": 1}},
        line(
            {"level": "INFO", "time": ISO, "requestId": ID, "trace_id": TRACE_ID, "event": {"a": 1}},
            9,
            "INFO",
            time_ns=TIME_NS,
            request_id=ID,
            trace_id=TRACE_ID,
        ),
    ),
    "no message, but a stack trace": (
        {"level": "ERROR", "stack": "a\nb"},
        line({"level": "ERROR", "stack": "a\nb"}, 17, "ERROR", attributes={"exception.stacktrace": "a\nb"}),
    ),
    "an empty message": ({"message": "", "level": "INFO"}, line("", 9, "INFO")),
    "empty": ({}, line({})),
    "a span id inside, without a trace id": (
        {"message": "hello", "span": {"id": SPAN_ID}},
        line("hello", attributes={"span": {"id": SPAN_ID}}),
    ),
    "an error under a name of the user's, with more": (
        {
            "level": "ERROR",
            "message": "m",
            "mine": {"name": "E", "message": "no", "stack": "E: no\n    at x", "code": 5},
        },
        line("m", 17, "ERROR", attributes={"mine": {"code": 5}, **exception("E", "no", "E: no\n    at x")}),
    ),
    "an error under a name of the user's": (
        {"level": "ERROR", "message": "m", "mine": {"name": "E", "message": "no", "stack": "E: no\n    at x"}},
        line("m", 17, "ERROR", attributes=exception("E", "no", "E: no\n    at x")),
    ),
    "other objects on an error": (
        {"level": "ERROR", "message": "m", "mine": {"name": "E", "message": "no"}},
        line("m", 17, "ERROR", attributes={"mine": {"name": "E", "message": "no"}}),
    ),
    "keys that the extension uses": (
        {"message": "m", "lambda.tenant_id": "red", "event.name": "e", "": 1},
        line("m", attributes={"lambda.line.lambda.tenant_id": "red", "event.name": "e", "lambda.line.empty_key": 1}),
    ),
    "an empty message and an error type": (
        {"message": "", "level": "INFO", "errorType": "E"},
        line("", 9, "INFO", attributes={"errorType": "E"}),
    ),
}


@pytest.mark.parametrize(("record", "expected"), TABLE.values(), ids=TABLE)
def test_object_is_parsed(record: dict[str, Any], expected: ParsedLine) -> None:
    assert read(record) == expected


@pytest.mark.parametrize(("record", "expected"), TABLE.values(), ids=TABLE)
def test_object_in_text_is_parsed(record: dict[str, Any], expected: ParsedLine) -> None:
    text = json.dumps(record)

    assert read(f"{text}\n") == expected
    assert read(f"  {text} \r\n", keep_raw=True) == expected.replace(body=f"  {text} ")


@pytest.mark.parametrize(
    ("record", "key", "has_runtime_format", "own_time"),
    [
        ({"message": "a", "requestId": "down-42"}, "requestId", False, None),
        ({"message": "a", "timestamp": ISO, "level": "INFO", "requestId": ID}, "requestId", True, ISO),
        ({"message": "a", "timestamp": ISO, "level": "INFO", "AWSRequestId": ID}, "AWSRequestId", True, ISO),
        ({"message": "a", "timestamp": ISO, "level": "INFO", "request_id": ID}, "request_id", False, ISO),
        ({"message": "a", "timestamp": ISO, "requestId": ID}, "requestId", False, ISO),
        ({"message": "a", "timestamp": "noon", "level": "INFO", "requestId": ID}, "requestId", True, None),
        ({"message": "a"}, "", False, None),
        ({"a": 1, "timestamp": ISO, "level": "INFO", "requestId": ID}, "", True, None),
    ],
)
def test_object_keeps_the_source_of_its_request_id_and_time(
    record: dict[str, Any], key: str, has_runtime_format: bool, own_time: str | None
) -> None:
    parsed = read_line(record)

    assert (parsed.request_id_key, parsed.has_runtime_format) == (key, has_runtime_format)
    assert parsed.own_time == (("timestamp", own_time) if own_time else None)


_KEYS = st.sampled_from(
    [*FIELD_OF, *CONTAINERS, "requestId", "Level", "logger", "faas.invocation_id", "lambda.tenant_id", "event.name", ""]
) | st.text(st.characters(codec=None))
_VALUES = st.sampled_from(
    [
        None,
        "",
        "a",
        "a\nb",
        "INFO",
        30,
        True,
        1.5,
        ISO,
        ID,
        TRACE_ID,
        SPAN_ID,
        HEADER,
        FRAMES,
        {"message": "a"},
        {"requestId": ID},
        {"message": "a", "name": "E", "stack": "E: a\n    at b"},
    ]
)


@FAST
@given(st.dictionaries(_KEYS, _VALUES, max_size=40))
def test_both_ways_of_reading_an_object_agree(record: dict[str, Any]) -> None:
    by_shape, by_key = read_object(record), read_key_by_key(record)

    assert by_shape == by_key
    # In the same order, since they are sent in it.
    assert list(by_shape.attributes) == list(by_key.attributes)


def test_an_object_with_too_many_keys_to_cache_is_parsed() -> None:
    others = {f"key {number}": number for number in range(40)}

    assert read({"message": "hello", **others}) == line("hello", attributes=others)
