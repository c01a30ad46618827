"""Stack traces as processes print them, line by line: `printed` has one in each file.

Those of Node.js 20, Java 17, Go 1, zap 1, Python 3.11 and loguru 0.7.3 were printed by small programs; the others are
transcribed from the sources of the runtimes and their clients, e.g.
https://github.com/aws/aws-lambda-ruby-runtime-interface-client/blob/main/lib/aws_lambda_ric/lambda_logger.rb
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, SPANS, Batch
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.telemetry.decoder import SLICE_BYTES
from tests.support import otlp_messages as otlp
from tests.support.posts import OBSERVED_NS, event, post
from tests.support.properties import FAST

ID = "8286a188-ba32-4475-8077-530cd35c09a9"
BEGIN = datetime(2026, 9, 22, 6, 30, tzinfo=UTC)
PRINTED = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "printed").glob("*.txt"))}
TRACE = PRINTED["node"].splitlines()
NO_SETTINGS: dict[str, str] = {}
JOINED = "joined with the line before"


class Found(NamedTuple):
    """What was made of a post."""

    bodies: list[Any]
    exceptions: list[tuple[Any, Any]]
    """Type and message of the exception of each record."""
    error_types: list[Any]
    """Of the spans of failed invocations."""
    filtered: dict[str, int]
    received: int


def moment(ms: float) -> str:
    return (BEGIN + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lines_of(texts: list[str], *, every_ms: float = 0.0, type_: str = "function") -> list[dict[str, Any]]:
    return [event(type_, f"{text}\n", moment(100 + number * every_ms)) for number, text in enumerate(texts)]


def wrapped(texts: list[str]) -> list[dict[str, Any]]:
    """Return *texts* as Lambda sends them for a function with JSON logs."""
    lines = [{"timestamp": moment(100), "level": "INFO", "message": text} for text in texts]
    return [event("function", line, moment(100)) for line in lines]


def found(
    *bodies: bytes, spooled: bool = False, is_managed: bool = False, settings: dict[str, str] = NO_SETTINGS
) -> Found:
    ledger = Ledger()
    converter = Converter(
        Settings({PREFIX + name: value for name, value in settings.items()}),
        Resource({"faas.name": "orders"}),
        ledger,
        version="1",
        temporality="delta",
        is_managed=is_managed,
        new_id=lambda size: "ab" * size,
        unix_ns=lambda: OBSERVED_NS,
    )
    start = event("platform.start", {"requestId": ID}, moment(0))
    done = {"requestId": ID, "status": "success", "metrics": {"durationMs": 10_000}}
    end = [event("platform.runtimeDone", done, moment(90_000)), event("platform.report", done, moment(90_001))]
    convert = converter.convert_spooled if spooled else converter.convert
    batches: list[Batch] = []
    for body in (post(start), *bodies, post(*end)):
        at = 0
        while at < len(body):
            result = convert(body, OBSERVED_NS, at)
            at = result.next_at
            batches += result.batches
    batches += converter.collect(OBSERVED_NS)
    requests = {
        signal: [otlp.REQUESTS[f"/v1/{signal}"].FromString(each.body) for each in batches if each.signal == signal]
        for signal in (LOGS, SPANS)
    }
    logs = [log for request in requests[LOGS] for *_, log in otlp.log_records(request) if not log.event_name]
    attributes = [otlp.attributes(log.attributes) for log in logs]
    spans = [otlp.attributes(span.attributes) for request in requests[SPANS] for *_, span in otlp.spans(request)]
    return Found(
        [log.body.string_value for log in logs],
        [(each.get("exception.type"), each.get("exception.message")) for each in attributes],
        [span["error.type"] for span in spans if "error.type" in span and "faas.invocation_id" in span],
        {reason: n for reason, n in ledger.snapshot().of(LOGS).filtered.items() if reason != "in spans and metrics"},
        ledger.records_received - 3,
    )


CASES: list[tuple[str, str | None, str | None, bool]] = [
    ("node", "TypeError", "no such order", True),
    ("node-own-class", "OrderFailed", "no stock", True),
    ("node-top-level", "Error", "at once", True),
    ("node-rejection", "Error", "late", True),
    ("java-client", "java.lang.IllegalStateException", "failed", True),
    ("java-main", "java.lang.IllegalStateException", "failed", False),
    ("java-logger", "java.lang.IllegalStateException", "no cart", False),
    ("go", "panic", "assignment to entry in nil map", True),
    ("python-chained", "KeyError", "'x'", False),
    ("python-group", "ExceptionGroup", "many (2 sub-exceptions)", False),
    ("python-logging", "ValueError", "bad order", False),
    ("python-loguru", "ValueError", "bad", False),
    ("python-thread", "ValueError", "bad order", False),
    ("ruby", "RuntimeError", "boom", False),
    ("ruby-highlight", "NoMethodError", "undefined method `x' for nil", False),
    ("ruby-client", "Function<TypeError>", "no implicit conversion of String into Integer", True),
    ("dotnet-aot", "System.InvalidOperationException", "boom", True),
    ("dotnet-aot-8", "System.InvalidOperationException", "boom", True),
    ("dotnet-client", "System.InvalidOperationException", "boom", True),
    ("rust", "panic", "order 7 is empty", True),
    ("rust-backtrace", "panic", "order 8 is empty", True),
    ("rust-second", "panic", "boom", True),
    ("php", "RuntimeException", "boom", True),
    ("php-message", "RuntimeException", "no cart\nOrder 7 has none\nAsk for it", True),
    ("php-chained", "RuntimeException", "no cart", True),
    ("php-fpm", "RuntimeException", "boom", False),
    ("php-bref-init", "RuntimeException", "no cart\nOrder 7 has none", True),
    ("php-monolog", "RuntimeException", "no cart\nOrder 7 has none", False),
    ("java-message", "java.lang.IllegalStateException", "no cart\nOrder 7 has none\nAsk for it", False),
    ("java-util-logging", "java.lang.IllegalStateException", "no cart\nOrder 7 has none\nAsk for it", False),
    ("node-message", "Error", "no cart\nOrder 7 has none\nAsk for it", False),
    ("dotnet-console", "System.InvalidOperationException", "boom", False),
    ("go-zap", None, "boom", False),
    ("go-zap-warning", None, None, False),
]


def test_every_printed_trace_is_a_case() -> None:
    assert {name for name, *_ in CASES} == PRINTED.keys()


@pytest.mark.parametrize(("name", "type_", "message", "fails"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("every_ms", [0.0, 1.0])
def test_printed_stack_trace_is_one_record(
    name: str, type_: str | None, message: str | None, fails: bool, every_ms: float
) -> None:
    lines = PRINTED[name].splitlines()

    result = found(post(*lines_of(["before", *lines, "after"], every_ms=every_ms)))

    assert (result.bodies[0], result.bodies[-1], len(result.bodies)) == ("before", "after", 3)
    assert result.exceptions[1] == (type_, message)
    assert result.error_types == ([type_] if fails else [])
    assert (result.filtered, result.received) == ({JOINED: len(lines) - 1}, len(lines) + 2)


@pytest.mark.parametrize("name", PRINTED)
def test_trace_in_a_function_with_json_logs_is_one_record(name: str) -> None:
    lines = ["before", *PRINTED[name].splitlines(), "after"]

    assert found(post(*wrapped(lines))) == found(post(*lines_of(lines)))


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize("type_", ["function", "extension"])
def test_trace_is_joined_however_the_post_is_read(name: str, type_: str) -> None:
    lines = PRINTED[name].splitlines()
    events = lines_of(["before", *lines, "after"], type_=type_)
    by_tcp = b"\n".join(post(each)[1:-1] for each in events)

    results = [found(post(*events)), found(by_tcp), found(post(*events), spooled=True), found(by_tcp, spooled=True)]

    assert [(len(each.bodies), each.filtered) for each in results] == [(3, {JOINED: len(lines) - 1})] * 4


SLICES = {"array": (SLICE_BYTES, b","), "lines": (SLICE_BYTES // 4, b"\n")}


def cut_after(events: list[dict[str, Any]], number: int, *, reading: str) -> bytes:
    """Return a post whose first slice ends with the event at *number*, because of the length of the first event."""
    slice_bytes, separator = SLICES[reading]
    parts = [post(each)[1:-1] for each in events]
    length = len(separator.join(parts[: number + 1]))
    padding = b"x" * (slice_bytes - length)
    body = separator.join([parts[0].replace(b"before", b"before" + padding), *parts[1:]])
    return b"[" + body + b"]" if reading == "array" else body


def without_padding(result: Found) -> Found:
    return result._replace(bodies=[re.sub("^beforex+", "before", body) for body in result.bodies])


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize(("reading", "spooled"), [("array", False), ("lines", True)])
def test_trace_is_joined_wherever_a_slice_ends(name: str, reading: str, spooled: bool) -> None:
    events = lines_of(["before", *PRINTED[name].splitlines(), "after"])

    uncut = found(post(*events), spooled=spooled)
    cuts = [found(cut_after(events, number, reading=reading), spooled=spooled) for number in range(len(events))]

    assert len(uncut.bodies) == 3
    for cut in cuts:
        assert cut.bodies[0].startswith("beforexxx")
        assert without_padding(cut) == uncut


def test_long_trace_is_read_to_its_end() -> None:
    frames = [f"    at f{number} (/var/task/{'x' * 400}.js:1:2)" for number in range(500)]

    result = found(post(*lines_of(["before" * 5_000, "Error: no", *frames, "after"])))

    assert (len(result.bodies), result.filtered) == (3, {JOINED: 500})


def test_traces_after_each_other_are_a_record_each() -> None:
    traces = [text.splitlines() for text in PRINTED.values()]

    result = found(post(*lines_of([line for trace in traces for line in trace])))

    assert len(result.bodies) == len(traces)
    assert [type_ is None for type_, _ in result.exceptions] == [name.startswith("go-zap") for name in PRINTED]


PAIRS = [
    ["Sep 22, 2026 6:30:00 AM com.example.Cart load", "INFO: order took"],
    ["info: App.Cart[0]", "      order", "      took"],
    ["/var/task/app.py:3: UserWarning: careful", "  warnings.warn('careful')"],
]


@pytest.mark.parametrize("lines", PAIRS)
def test_two_lines_that_a_logger_writes_for_a_record_are_one(lines: list[str]) -> None:
    result = found(post(*lines_of(["before", *lines, "after"])))

    assert (result.bodies, result.exceptions) == (["before", "\n".join(lines), "after"], [(None, None)] * 3)
    assert found(post(*wrapped(["before", *lines, "after"]))) == result


NO_TRACES = [
    ["info: App.Cart[0]", "order took"],
    ["Sep 22, 2026 6:30:00 AM com.example.Cart load", "order took"],
    ["/var/task/app.py:3: UserWarning: careful", "careful"],
    ["Error: no cart", "order 7", "order 8"],
    ["Error: no cart", "order 7", "[INFO] order 8", "    at f (/var/task/index.js:1:2)"],
    ["Error: no cart", *["order"] * 20, "    at f (/var/task/index.js:1:2)"],
    ["order 7", "main.f", "main.g"],
    ["items:", "  - one", "  - two"],
    ["{", '  "level": "info",', '  "message": "pretty"', "}"],
    ["we are", "at home", "from here", "... and so on"],
    ["", "  indented", ""],
    ["\tat com.example.Cart.load(Cart.java:12)", "\tat com.example.Cart.main(Cart.java:1)"],
    ["Trace: here", "    at f (/var/task/index.js:1:2)"],
    ["the list", "    at the end (of it)"],
    ["Caused by: nothing", "Caused by: no one"],
    ["goroutine 1", "goroutine 2", "f()"],
    ["def f():", "    ^", "marked", "lines"],
    ["/var/task/index.js:3", "  throw e"],
    ["| a | b |", "  | 1 | 2 |", "#1 first", "#2 second"],
    ["thread 'main' says:", "hello", "note: nothing"],
    ["ERROR failed", "  status: 500", "  path: /orders"],
    ["at last", "^", "~~~~"],
    ["Stack trace:", "#0 none"],
    [f"[INFO]\t2026-09-22T06:30:00.100Z\t{ID}\tNoError", "    at f (/var/task/index.js:1:2)"],
    ["plain", "[telemetry-forwarder]", "  own"],
]


@pytest.mark.parametrize("lines", NO_TRACES)
@pytest.mark.parametrize("end", ["\n", ""])
def test_other_lines_stay_apart(lines: list[str], end: str) -> None:
    result = found(post(*[event("function", line + end, moment(100)) for line in lines]))

    assert (len(result.bodies), result.filtered) == (len(lines), {})


def test_line_before_a_trace_belongs_to_it_only_if_it_is_its_message() -> None:
    python = PRINTED["python-chained"].splitlines()
    java = ["java.lang.Error: x", "\tat A.b(A.java:1)"]
    warning = f"[WARNING]\t2026-09-22T06:30:00.100Z\t{ID}\tslow"

    heads = ["order 7", "WARN slow", "INFO ok", "ERROR failed", warning]

    counts = [len(found(post(*lines_of([head, *trace]))).bodies) for trace in (python, java) for head in heads]
    assert counts == [2, 1, 2, 1, 2] * 2


@pytest.mark.parametrize("settings", [{"JOIN_LINES": "false"}, {"RAW_LINES": "true"}])
def test_setting_keeps_lines_as_they_are(settings: dict[str, str]) -> None:
    result = found(post(*lines_of(TRACE)), settings=settings)

    assert (result.bodies, result.filtered) == (TRACE, {})


def test_lines_of_concurrent_invocations_stay_apart() -> None:
    assert found(post(*lines_of(TRACE)), is_managed=True).bodies == TRACE


GO = ["", "goroutine 1 [running]:", "main.f()", "\t/var/task/main.go:3"]
SHORT = [
    ("RuntimeException: x", ["x: java.lang.RuntimeException", "java.lang.RuntimeException: x", "\tat A.b(A.java:9)"]),
    (
        "KeyError",
        [
            "{",
            '  "errorMessage": "x",',
            '  "errorType": "Function<KeyError>",',
            '  "stackTrace": [',
            '    "a.rb:3"',
            "  ]",
            "}",
        ],
    ),
    ("panic", ["panic: boom", *GO]),
    ("nil pointer", ["panic: runtime error: nil pointer dereference", "[signal SIGSEGV: code=0x1]", *GO]),
    ("panic", ["thread 'main' panicked at src/main.rs:36:22:", "boom", "stack backtrace:", "   0: x::main", "note: x"]),
    ("TypeError", ["TypeError: boom", "    at f (/var/task/index.js:3:9)", "    at g (/a.js:9:1)"]),
    (
        "AggregateError",
        ["AggregateError: all failed", "    at f (a.js:1:1) {", "  [errors]: [", "    Error: a", "  ]", "}"],
    ),
    ("App.Failed", ["Unhandled exception. App.Failed: boom", "   at App.Run() in /src/App.cs:line 3"]),
    ("KeyboardInterrupt", ["Traceback (most recent call last):", '  File "/a.py", line 3, in f', "KeyboardInterrupt"]),
    ("E", ["app.rb:3:in `f': x (E)", "\tfrom app.rb:9:in `<main>'"]),
    ("E", ["x (E)", "/var/task/app.rb:3:in 'Object#f'", "/var/task/app.rb:9:in '<main>'"]),
    ("stack overflow", ["fatal error: stack overflow", "", "runtime stack:", "runtime.throw({0x1})", "\t/p.go:1", *GO]),
]


@pytest.mark.parametrize(("type_", "lines"), SHORT)
def test_short_traces(type_: str, lines: list[str]) -> None:
    result = found(post(*lines_of(["before", *lines, "after"])))

    assert (len(result.bodies), type_ in f"{result.exceptions[1][0]}: {result.exceptions[1][1]}") == (3, True)


def test_disabled_logs_are_counted_once() -> None:
    result = found(post(*lines_of(PRINTED["go"].splitlines())), settings={"SIGNALS": "spans"})

    assert result.error_types == ["panic"]
    assert sum(result.filtered.values()) == result.received + 3


FRAMES = ["    at f (/var/task/index.js:1:2)"] * 6


@pytest.mark.parametrize(
    ("events", "count"),
    [
        # Too late, or earlier.
        (lines_of(["Error: no", *FRAMES], every_ms=6), 7),
        (lines_of(["Error: no", *FRAMES], every_ms=-1), 7),
        # Not all of the 101 within 100 ms.
        (lines_of(["Error: no", *FRAMES * 20], every_ms=5), 101),
        # Other sources, and events, between them.
        ([*lines_of(["Error: no"]), *lines_of(FRAMES, type_="extension")], 7),
        ([*lines_of(["Error: no"]), event("platform.fault", "x", moment(100)), *lines_of(FRAMES)], 7),
        ([*lines_of(["Error: no"]), event("function", {"message": "x"}, moment(100)), *lines_of(FRAMES)], 8),
        # A record of several lines, or with other members.
        (lines_of(["Error: no", "    at f\n    at g", *FRAMES]), 8),
        ([*lines_of(["Error: no"]), {**lines_of(FRAMES)[0], "more": 1}], 2),
        ([{**lines_of(["Error: no"])[0], "time": "soon"}, *lines_of(FRAMES)], 7),
        # Our own lines are neither joined nor forwarded.
        (lines_of(["[telemetry-forwarder] WARN Error: no", *FRAMES], type_="extension"), 6),
        (lines_of(["thread 'x' panicked at a.rs:1:2:", "[telemetry-forwarder] x"], type_="extension"), 1),
        # Bounds in lines and in bytes.
        (lines_of(["Error: no", *["    at f"] * 1_500]), 1 + 501),
        (lines_of(["Error: no", "    at f (/a.js:1:2)", "    at " + "x" * 262_144]), 2),
    ],
)
def test_bounds(events: list[dict[str, Any]], count: int) -> None:
    result = found(post(*events))

    others = sum(each["type"] == "platform.fault" for each in events)
    assert result.received == len(events)
    assert len(result.bodies) == result.received - sum(result.filtered.values()) - others
    if count < 500:
        assert len(result.bodies) == count


PIECES = st.sampled_from(
    sorted(
        {line for text in PRINTED.values() for line in text.splitlines()}
        | {line for each in NO_TRACES for line in each}
    )
)


@FAST
@given(st.data(), st.lists(PIECES, min_size=1, max_size=12), st.sampled_from(sorted(SLICES)), st.booleans())
def test_end_of_a_slice_changes_nothing(data: st.DataObject, texts: list[str], reading: str, spooled: bool) -> None:
    events = wrapped(["before", *texts]) if data.draw(st.booleans()) else lines_of(["before", *texts])
    number = data.draw(st.integers(0, len(texts)))

    uncut = found(post(*events), spooled=spooled)
    cut = found(cut_after(events, number, reading=reading), spooled=spooled)

    assert without_padding(cut) == uncut


@FAST
@given(st.lists(st.tuples(PIECES | st.text(max_size=8), st.integers(0, 7), st.booleans()), max_size=40))
def test_nothing_is_lost_and_the_order_is_kept(pieces: list[tuple[str, int, bool]]) -> None:
    at, events = 100, []
    for text, wait_ms, is_extension in pieces:
        at += wait_ms
        events.append(event("extension" if is_extension and wait_ms == 7 else "function", text, moment(at)))

    joined, apart = found(post(*events)), found(post(*events), settings={"JOIN_LINES": "false"})

    assert joined.received == apart.received == len(events)
    assert len(joined.bodies) + joined.filtered.get(JOINED, 0) == len(apart.bodies)


@FAST
@given(st.lists(st.sampled_from(sorted(PRINTED)), min_size=1, max_size=4), st.text("abc", min_size=1))
def test_each_of_many_traces_is_complete(names: list[str], word: str) -> None:
    printed = [PRINTED[name].splitlines() for name in names]
    types = {name: type_ for name, type_, *_ in CASES}

    result = found(post(*lines_of([line for trace in printed for line in (*trace, word)])))

    assert result.bodies[1::2] == [word] * len(names)
    assert [type_ for type_, _ in result.exceptions[::2]] == [types[name] for name in names]
