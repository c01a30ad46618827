import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.log_formats.parsed_line import ParsedLine
from telemetry_forwarder.log_formats.parser import is_out_of_memory, read_line, reports_out_of_memory
from telemetry_forwarder.telemetry.json_values import read_json_object
from telemetry_forwarder.telemetry.timestamps import parse_time_ns
from tests.log_formats.test_json_formats import TABLE as JSON_TABLE
from tests.log_formats.test_text_formats import TABLE as TEXT_TABLE
from tests.support.lines import ID, ISO, TIME_NS, line
from tests.support.strategies import json_values

JSON = json_values(allow_nan=True)
KNOWN_KEYS = sorted({key for record, _ in JSON_TABLE.values() for key in record} | {"Level", "TIME", "MSG"})
KNOWN_VALUES = [value for record, _ in JSON_TABLE.values() for value in record.values()]
OBJECTS = st.dictionaries(st.sampled_from(KNOWN_KEYS) | st.text(), st.sampled_from(KNOWN_VALUES) | JSON)
REAL_TEXTS = [text for text, _ in TEXT_TABLE.values()]


@pytest.mark.parametrize("record", [None, True, 5, 0.5, float("inf"), [], [{"message": "hello"}], 2**70])
def test_json_that_is_no_object_is_the_body(record: Any) -> None:
    assert read_line(record) == line(record)


@pytest.mark.parametrize(
    "text", ["[1, 2]", "5", "null", '"hello"', "{", "{}x", "{ not json }", '{"a": 1', " {x}", " ", "{'a': 1}"]
)
def test_text_that_is_not_a_json_object_stays_text(text: str) -> None:
    assert read_line(text) == line(text)


@pytest.mark.parametrize(
    ("text", "value"), [("NaN", "nan"), ("Infinity", "inf"), ("-Infinity", "-inf"), ("[1, NaN]", "[1, nan]")]
)
def test_nan_and_infinity_are_accepted_in_json(text: str, value: str) -> None:
    parsed = read_line(f'{{"message": "a", "level": "INFO", "x": {text}}}\n')

    assert (parsed.body, parsed.severity_text, str(parsed.attributes["x"])) == ("a", "INFO", value)


@pytest.mark.parametrize("text", ['{"a": NaN} {"b": 1}', "{NaN}", '{"a":' * 200_000 + "NaN" + "}" * 200_000])
def test_invalid_json_with_nan_stays_text(text: str) -> None:
    assert read_line(text) == line(text)


FRAMES = ["a.py line 5", "b.py line 6"]
ERROR: dict[str, Any] = {"errorType": "E", "errorMessage": "no", "stackTrace": FRAMES}


@pytest.mark.parametrize(
    ("record", "is_uncaught_exception"),
    [
        ({"timestamp": ISO, "log_level": "ERROR", "requestId": ID, **ERROR}, True),
        ({"timestamp": ISO, "level": "ERROR", "requestId": ID, "location": "f", **ERROR}, True),
        ({"timestamp": ISO, "log_level": "ERROR", "requestId": ID, **ERROR, "orderId": 5}, False),
        ({"timestamp": ISO, "log_level": "ERROR", **ERROR, "stackTrace": []}, False),
        ({"timestamp": ISO, "log_level": "ERROR", **ERROR, "stackTrace": [], "errorType": "Runtime.X"}, True),
        ({"timestamp": ISO, "level": "ERROR", "errorType": "Runtime.X", "errorMessage": "no"}, False),
        ({"timestamp": ISO, "level": "WARNING", **ERROR}, False),
        ({"level": "ERROR", **ERROR}, False),
        (ERROR, False),
        ({"errorMessage": "no", "errorType": "E"}, True),
        ({"errorMessage": "no", "errorType": "E", "stackTrace": [{"path": "a.go", "line": 1, "label": "f"}]}, True),
        ({"errorMessage": "no", "errorType": "E", "stackTrace": []}, False),
        ({"errorMessage": "no", "errorType": "E", "stackTrace": FRAMES}, False),
        ({"errorMessage": "no", "errorType": "E", "stackTrace": "a"}, False),
        ({"errorType": "E", "errorMessage": "no"}, False),
        ({"errorMessage": "no"}, False),
        ({**ERROR, "errorType": "Function<E>"}, True),
        ({**ERROR, "errorType": "Function<E>", "stackTrace": []}, True),
        ({"level": "ERROR", "errorType": "PaymentDeclined", "errorMessage": "no", "orderId": 5}, False),
        ({"level": "ERROR", "errorType": 5, "stackTrace": FRAMES}, False),
        ({"timestamp": ISO, "level": "ERROR", "requestId": ID, "message": ERROR}, True),
        ({"timestamp": ISO, "level": "ERROR", "requestId": ID, "tenantId": "t", "message": ERROR}, True),
        ({"timestamp": ISO, "level": "error", "requestId": ID, "message": ERROR}, False),
        ({"timestamp": ISO, "level": "FATAL", "requestId": ID, "message": ERROR}, False),
        ({"level": "ERROR", "requestId": ID, "message": ERROR}, False),
        ({"timestamp": ISO, "level": "ERROR", "requestId": ID, "message": ERROR, "service": "x"}, False),
        ({"timestamp": ISO, "level": "ERROR", "requestId": ID, "message": {**ERROR, "stackTrace": 5}}, False),
        ({"timestamp": ISO, "level": "ERROR", "message": "caught", "requestId": ID, **ERROR}, False),
        ({"level": "INFO", "message": "no: a.E\na.E: no\n\tat x", "errorType": "E"}, False),
    ],
)
def test_only_exactly_what_a_runtime_writes_is_a_failure(record: dict[str, Any], is_uncaught_exception: bool) -> None:
    assert read_line(record).is_uncaught_exception is is_uncaught_exception


def test_json_nested_too_deep_stays_text() -> None:
    text = '{"a":' * 5_000 + "1" + "}" * 5_000

    assert read_line(text) == line(text)


@given(JSON | OBJECTS, st.booleans())
def test_any_json_is_parsed(record: Any, keep_raw: bool) -> None:
    assert_is_valid(read_line(record, keep_raw=keep_raw))


@given(st.sampled_from(REAL_TEXTS), st.data())
def test_any_mutation_of_a_real_line_is_parsed(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))

    assert_is_valid(read_line(text[:start] + data.draw(st.text(max_size=5)) + text[end:]))


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        (f"{ISO}", " "),
        (f"{ISO} - ", "a"),
        (f"2026-09-22 06:30:00 {ID} INFO", " "),
        (f"{ISO}\t{ID}\tfail\ta: ", "\r\n  "),
        (f"{ISO}\t{ID}\tERROR\tInvoke Error", " "),
        ("[ERROR] a: ", "\r\n"),
        ("I, [2026-09-22T06:30:00.123456 #8]  INFO", " "),
        (f"RequestId: {ID} Error: a", "\n"),
        ("no: a\n\tat ", "a: b\n"),
        ("level=info", " time="),
        ("emory", "\n"),
        ("panic: ", "\n"),
        ("22:39:04.230 [main] ", "-"),
        ("22:39:04.230 ", "-|"),
        ("[main] ", "a-"),
        ("", "a.b.Error: x\n\tat "),
        ("", "Traceback (most recent call last):\n"),
        ("", "x (A)\n/x.rb:3:in "),
        ("", "Stack trace:\n#0 "),
        ("Error: a", " in /x"),
        ("\x1b[", "\x1b[31m"),
        ("{", '"a": 1, '),
        ("a=", "level=error"),
        ("trace", "trace_id="),
        (f"{ISO} ", "[a] "),
        (f"{ID}\tInvoke Error\t{{", "{"),
    ],
)
def test_the_longest_line_takes_linear_time(start: str, repeated: str) -> None:
    """A pattern that backtracks would take minutes for Lambda's 256 KiB."""
    text = start + repeated * (262_144 // len(repeated)) + "!"
    began_s = time.process_time()

    assert read_line(text, keep_raw=True).body == text
    # About 10 ms; a search that is not linear takes minutes.
    assert time.process_time() - began_s < 1
    assert not is_out_of_memory(text)


LAYERS = [
    f"[INFO]\t{ISO}\t{ID}\t{{}}",
    f"{ISO}\t{ID}\tINFO\t{{}}",
    f"{ISO}\t{ID}\t{{}}",
    "INFO:root:{}",
    "2026/09/22 06:30:00 {}",
    '{{"timestamp": "2026-09-22T06:30:00.123Z", "level": "INFO", "requestId": "a", "message": {}}}',
    "\x1b[31m{}\x1b[39m",
    "LAMBDA_WARNING: Unhandled exception. \r{}",
]


@given(st.lists(st.sampled_from(LAYERS), max_size=5), st.sampled_from(REAL_TEXTS) | st.text(), OBJECTS, st.booleans())
def test_any_line_in_a_line_is_parsed(layers: list[str], text: str, record: dict[str, Any], keep_raw: bool) -> None:
    for content in (text, json.dumps(record)):
        line = content
        for layer in layers:
            line = layer.format(json.dumps(line) if '"message"' in layer else line)

        parsed = read_line(line, keep_raw=keep_raw)

        assert_is_valid(parsed)
        assert "" not in parsed.attributes
        if keep_raw:
            assert parsed.body == line.removesuffix("\n").removesuffix("\r" if line.endswith("\r\n") else "")


INNER = {"level": "error", "message": "m", "timestamp": "2026-09-22T07:00:00Z", "requestId": "mine", "logger": "a"}


def test_the_users_line_wins_and_the_outer_id_and_time_stay() -> None:
    parsed = read_line(f"I, [2026-09-22T06:30:00.123456 #8]  INFO {ID} -- app: {json.dumps(INNER)}")

    assert (parsed.body, parsed.severity_number, parsed.severity_text) == ("m", 17, "error")
    assert (parsed.request_id, parsed.time_ns) == (ID, TIME_NS + 456_000)
    assert parsed.attributes == {
        "process.pid": 8,
        "logger": "a",
        "lambda.line.logger": "app",
        "lambda.line.level": "INFO",
        "timestamp": "2026-09-22T07:00:00Z",
        "requestId": "mine",
    }


def test_a_report_that_the_user_has_logged_is_no_failure() -> None:
    error = json.dumps({"errorMessage": "no", "errorType": "E"})

    assert read_line(error).is_uncaught_exception
    assert not read_line(f"[INFO]\t{ISO}\t{ID}\t{error}").is_uncaught_exception


def test_reading_ends_after_three_layers() -> None:
    text = json.dumps({"level": "error", "message": "m"})
    for _ in range(5):
        text = json.dumps({"level": "info", "message": text})

    assert read_line(text).severity_text == "info"


def test_the_message_of_an_object_stays_raw() -> None:
    message = json.dumps({"level": "error", "message": "m"})
    parsed = read_line({"level": "info", "message": message}, keep_raw=True)

    assert (parsed.body, parsed.severity_text) == (message, "error")


def test_a_prefix_is_kept_where_json_replaces_the_line() -> None:
    assert read_line('INFO:app:{"message": "m"}').attributes == {"lambda.line.prefix": "INFO:app:"}


def test_the_fields_after_a_message_leave_it_complete() -> None:
    line = 'error: failed {"error": {"name": "E", "message": "no"}}'
    parsed = read_line(line)

    assert parsed.body == line
    assert parsed.attributes == {"exception.type": "E", "exception.message": "no"}


@pytest.mark.parametrize(
    "text", ['{"a": "cut \\ud83d"}', '{"a": NaN}', '{"a": 1, "a": 2}', '{"a": "\t"}', '{"\ud800": 1}']
)
def test_json_text_is_read_as_leniently_as_a_post(text: str) -> None:
    assert isinstance(read_line(text).body, dict)


def test_the_last_of_two_equal_keys_wins() -> None:
    assert read_line('{"level": "info", "message": "m", "level": "error"}') == read_line(
        {"level": "error", "message": "m"}
    )


@given(st.text())
def test_any_text_is_recoverable(text: str) -> None:
    assert read_line(text, keep_raw=True).body == text.removesuffix("\n" if text[-1:] == "\n" else "").removesuffix(
        "\r" if text[-2:] == "\r\n" else ""
    )


@given(OBJECTS)
def test_no_value_of_an_object_is_lost(record: dict[str, Any]) -> None:
    before = repr(record)

    parsed = read_line(record)

    assert repr(record) == before
    assert [value for value in leaves(record) if not is_kept(value, parsed)] == []


OUT_OF_MEMORY_REPORTS = [
    "java.lang.OutOfMemoryError: Java heap space",
    "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
    "RequestId: 1 Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
    "Unhandled exception. System.OutOfMemoryException: no",
    "fatal error: runtime: out of memory",
    "MemoryError",
    "[ERROR] MemoryError: no\nTraceback (most recent call last):",
    "Traceback (most recent call last):\nMemoryError",
    "failed to allocate memory",
    "/var/task/handler.rb:3:in `*': argument too big (NoMemoryError)",
    "Runtime.OutOfMemory",
]


@pytest.mark.parametrize("text", OUT_OF_MEMORY_REPORTS)
def test_reports_of_exhausted_memory_are_recognised(text: str) -> None:
    assert is_out_of_memory(text)


@pytest.mark.parametrize("text", OUT_OF_MEMORY_REPORTS)
def test_a_level_below_error_does_not_report_exhausted_memory(text: str) -> None:
    def parsed(level: str) -> ParsedLine:
        return read_line({"level": level, "message": text})

    assert [reports_out_of_memory(parsed(level)) for level in ("WARN", "INFO", "ERROR", "unknown")] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    "text", ["", "hello", "Memory Size: 128 MB", "I caught a MemoryError, all is well", "signal: killed"]
)
def test_other_mentions_of_memory_are_not_reports(text: str) -> None:
    assert not is_out_of_memory(text)


def assert_is_valid(parsed: ParsedLine) -> None:
    assert type(parsed) is ParsedLine
    assert parsed.severity_number in range(25)
    assert 0 <= parsed.time_ns < 1 << 63
    assert len(parsed.trace_id) in (0, 32)
    assert len(parsed.span_id) in (0, 16)
    assert all(isinstance(part, str) for part in (parsed.severity_text, parsed.request_id, *parsed.attributes))


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list) and value:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


def is_kept(value: Any, parsed: ParsedLine) -> bool:
    """Return whether *value* is in the body, in an attribute, or in a field of the line."""
    found = [*leaves(parsed.body), *leaves(parsed.attributes), parsed.severity_number]
    texts = [*(one for one in found if isinstance(one, str)), parsed.severity_text, parsed.request_id]
    if any(one is value or (type(one) is type(value) and one == value) for one in found):
        return True
    if not isinstance(value, str):
        is_time = parse_time_ns(value) // 1_000_000_000 == parsed.time_ns // 1_000_000_000
        return str(value) in [*texts, *str_lines(texts)] or is_time
    if (record := read_json_object(value)) is not None:
        return all(is_kept(inner, parsed) for inner in leaves(record))
    ids = (parsed.trace_id, f"1{parsed.trace_id}", parsed.span_id)
    return (
        any(value.strip() in text for text in texts)
        or value.lower().replace("-", "") in ids
        or (parsed.time_ns > 0 and parse_time_ns(value) == parsed.time_ns)
    )


def str_lines(texts: list[str]) -> list[str]:
    return [word for text in texts for word in re.findall(r"\w+", text)]


PANIC = "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/var/task/main.go:3 +0x1d"


OLD_CLIENT = "LAMBDA_WARNING: Unhandled exception. x\r" + json.dumps(
    {"timestamp": ISO, "log_level": "ERROR", "requestId": ID, **ERROR}
)


def wrapped(message: str, **more: str) -> dict[str, str]:
    """Return a line as Lambda sends it for a function with JSON logs."""
    return {"timestamp": ISO, "level": "INFO", "message": message, **more}


@pytest.mark.parametrize(
    ("message", "severity", "is_uncaught"),
    [
        (PANIC, 19, True),
        ("ERROR:root:no", 17, False),
        (OLD_CLIENT, 17, True),
        ("x: java.lang.Error\njava.lang.Error: x\n\tat A.b(A.java:1)", 17, True),
        (f"RequestId: {ID} Error: Runtime exited with error: exit status 1\nRuntime.ExitError", 17, True),
        ("an error: no", 9, False),
        ("", 9, False),
    ],
)
def test_wrapped_line_of_text_is_read_like_the_line(message: str, severity: int, is_uncaught: bool) -> None:
    inner, line = read_line(message), read_line(wrapped(message))

    assert (line.severity_number, line.is_uncaught_exception) == (severity, is_uncaught)
    assert (line.body, line.attributes, line.time_ns) == (inner.body, inner.attributes, TIME_NS)
    assert read_line(wrapped(message), keep_raw=True).body == message


@pytest.mark.parametrize("record", [wrapped("ERROR no", logger="x"), wrapped("ERROR no") | {"level": "WARN"}])
def test_object_that_lambda_has_not_made_keeps_its_level(record: dict[str, str]) -> None:
    assert read_line(record).severity_text == record["level"]


def test_wrapped_object_that_is_no_line_stays_text() -> None:
    assert read_line(wrapped('{"a": 1}')).body == '{"a": 1}'
