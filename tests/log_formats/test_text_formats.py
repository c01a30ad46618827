"""Text formats of the runtimes, as their sources print them, and of common loggers."""

import pytest

from telemetry_forwarder.log_formats.parsed_line import ParsedLine
from telemetry_forwarder.log_formats.parser import read_line
from tests.support.lines import ID, ISO, SECOND_NS, SPAN_ID, TIME_NS, TRACE_ID, exception, line, read

PYTHON_TRACE = (
    "Traceback (most recent call last):\n"
    '\u00a0\u00a0File "/var/task/app.py", line 5, in handler\n'
    '\u00a0\u00a0\u00a0\u00a0raise ValueError("a: b")'
)
JAVA_TRACE = "java.lang.IllegalStateException: no: never\n\tat com.example.Handler.handleRequest(Handler.java:9)\n"
DOTNET_TRACE = "System.InvalidOperationException: no\n   at App.Function.Handler() in /src/Function.cs:line 9"
NODE_ERROR = '{"errorType":"TypeError","errorMessage":"x is not a function","stack":["TypeError: x","    at y"]}'
NODE_EXCEPTION = exception("TypeError", "x is not a function", "TypeError: x\n    at y")
PYTHON_EXCEPTION = exception("ValueError", "a: b", PYTHON_TRACE)
CRASH = f"RequestId: {ID} Error: Runtime exited with error: signal: killed\nRuntime.ExitError"
REPORT = f"REPORT RequestId: {ID}\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB"

TABLE = {
    "python": (f"[INFO]\t{ISO}\t{ID}\thello\n", line("hello", 9, "INFO", time_ns=TIME_NS, request_id=ID)),
    "python warning": (
        f"[WARNING]\t{ISO}\t{ID}\ta\tb\nc\n\n",
        line("a\tb\nc\n", 13, "WARNING", time_ns=TIME_NS, request_id=ID),
    ),
    "python critical": (f"[CRITICAL]\t{ISO}\t{ID}\t", line("", 21, "CRITICAL", time_ns=TIME_NS, request_id=ID)),
    "python outside of invocations": (f"[ERROR]\t{ISO}\t\tboom\n", line("boom", 17, "ERROR", time_ns=TIME_NS)),
    "python with a custom level": (
        f"[AUDIT]\t{ISO}\t{ID}\twho",
        line("who", 0, "AUDIT", time_ns=TIME_NS, request_id=ID),
    ),
    "python with an impossible date": (
        f"[INFO]\t2026-02-30T06:30:00.123Z\t{ID}\thello",
        line("hello", 9, "INFO", request_id=ID, attributes={"timestamp": "2026-02-30T06:30:00.123Z"}),
    ),
    "python, a caught exception": (
        f"[ERROR]\t{ISO}\t{ID}\tcaught\n{PYTHON_TRACE}\nValueError: a: b",
        line(
            f"caught\n{PYTHON_TRACE}\nValueError: a: b",
            17,
            "ERROR",
            time_ns=TIME_NS,
            request_id=ID,
            attributes=exception("ValueError", "a: b", f"{PYTHON_TRACE}\nValueError: a: b"),
        ),
    ),
    "python, uncaught exception": (
        f"[ERROR] ValueError: a: b\n{PYTHON_TRACE}",
        line(f"ValueError: a: b\n{PYTHON_TRACE}", 17, "ERROR", attributes=PYTHON_EXCEPTION, is_uncaught_exception=True),
    ),
    "python, uncaught exception, from a container": (
        "[ERROR] ValueError: a: b\r" + PYTHON_TRACE.replace("\n", "\r") + "\n",
        line(
            "ValueError: a: b\r" + PYTHON_TRACE.replace("\n", "\r"),
            17,
            "ERROR",
            attributes=PYTHON_EXCEPTION,
            is_uncaught_exception=True,
        ),
    ),
    "python, an exception without a message": (
        "[ERROR] KeyError\nTraceback (most recent call last):\n",
        line(
            "KeyError\nTraceback (most recent call last):",
            17,
            "ERROR",
            attributes=exception("KeyError", "", "Traceback (most recent call last):"),
            is_uncaught_exception=True,
        ),
    ),
    "python, the runtime's own exception": (
        "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'x'\n"
        "Traceback (most recent call last):",
        line(
            "Runtime.ImportModuleError: Unable to import module 'app': No module named 'x'\n"
            "Traceback (most recent call last):",
            17,
            "ERROR",
            attributes=exception(
                "Runtime.ImportModuleError",
                "Unable to import module 'app': No module named 'x'",
                "Traceback (most recent call last):",
            ),
            is_uncaught_exception=True,
        ),
    ),
    "python basicConfig": ("ERROR:root:boom", line("ERROR:root:boom", 17, "ERROR")),
    "a plain level": ("WARNING: it is late", line("WARNING: it is late", 13, "WARNING")),
    "the name of an exception is not a level": ("Error: it is late", line("Error: it is late")),
    "python logging with dates": (
        "2026-09-22 06:30:00,123 - app.db - INFO - hello",
        line("2026-09-22 06:30:00,123 - app.db - INFO - hello", 9, "INFO", time_ns=TIME_NS),
    ),
    "loguru": (
        "2026-09-22 06:30:00.123 | WARNING  | app:f:1 - hello",
        line("2026-09-22 06:30:00.123 | WARNING  | app:f:1 - hello", 13, "WARNING", time_ns=TIME_NS),
    ),
    "rust tracing as text": (f"{ISO}  INFO app: hello", line(f"{ISO}  INFO app: hello", 9, "INFO", time_ns=TIME_NS)),
    "rust env_logger": (
        "[2026-09-22T06:30:00Z ERROR app] hello",
        line("[2026-09-22T06:30:00Z ERROR app] hello", 17, "ERROR", time_ns=SECOND_NS),
    ),
    "go log": ("2026/09/22 06:30:00 hello", line("2026/09/22 06:30:00 hello")),
    "go slog as text": (
        f'time={ISO} level=WARN msg="it is late"',
        line(f'time={ISO} level=WARN msg="it is late"', 13, "WARN", time_ns=TIME_NS),
    ),
    "logrus": (
        'time="2026-09-22T06:30:00Z" level=info msg=hello',
        line('time="2026-09-22T06:30:00Z" level=info msg=hello', 9, "info", time_ns=SECOND_NS),
    ),
    "logfmt without a time": ("level=error msg=no", line("level=error msg=no", 17, "error")),
    "logfmt with an unknown level": ("level=high msg=no", line("level=high msg=no")),
    "text that contains a level": ("the level=error is high", line("the level=error is high")),
    "node": (f"{ISO}\t{ID}\tINFO\thello\n", line("hello", 9, "INFO", time_ns=TIME_NS, request_id=ID)),
    "node outside of invocations": (
        f"{ISO}\tundefined\tWARN\thello\tyou",
        line("hello\tyou", 13, "WARN", time_ns=TIME_NS),
    ),
    "node, uncaught exception": (
        f"{ISO}\t{ID}\tERROR\tInvoke Error \t{NODE_ERROR}\n",
        line(
            f"Invoke Error \t{NODE_ERROR}",
            17,
            "ERROR",
            time_ns=TIME_NS,
            request_id=ID,
            attributes=NODE_EXCEPTION,
            is_uncaught_exception=True,
        ),
    ),
    "node, uncaught": (
        f"{ISO}\tundefined\tERROR\tUncaught Exception\t{NODE_ERROR}",
        line(
            f"Uncaught Exception\t{NODE_ERROR}",
            17,
            "ERROR",
            time_ns=TIME_NS,
            attributes=NODE_EXCEPTION,
            is_uncaught_exception=True,
        ),
    ),
    "node, a rejection": (
        f"{ISO}\t{ID}\tERROR\tUnhandled Promise Rejection \t"
        '{"errorType":"Runtime.UnhandledPromiseRejection","errorMessage":"no","trace":[]}',
        line(
            'Unhandled Promise Rejection \t{"errorType":"Runtime.UnhandledPromiseRejection","errorMessage":"no",'
            '"trace":[]}',
            17,
            "ERROR",
            time_ns=TIME_NS,
            request_id=ID,
            attributes=exception("Runtime.UnhandledPromiseRejection", "no"),
            is_uncaught_exception=True,
        ),
    ),
    "node, an exception that was cut off": (
        f'{ISO}\t{ID}\tERROR\tInvoke Error \t{{"errorType":"Ty',
        line(
            'Invoke Error \t{"errorType":"Ty', 17, "ERROR", time_ns=TIME_NS, request_id=ID, is_uncaught_exception=True
        ),
    ),
    "node, an exception without a message": (
        f'{ISO}\t{ID}\tERROR\tInvoke Error \t{{"errorType":5}}',
        line('Invoke Error \t{"errorType":5}', 17, "ERROR", time_ns=TIME_NS, request_id=ID, is_uncaught_exception=True),
    ),
    "node, an exception that was caught": (
        f"{ISO}\t{ID}\tERROR\tError: no\n    at handler (/var/task/index.js:1:1)",
        line(
            "Error: no\n    at handler (/var/task/index.js:1:1)",
            17,
            "ERROR",
            time_ns=TIME_NS,
            request_id=ID,
            attributes=exception("Error", "no", "Error: no\n    at handler (/var/task/index.js:1:1)"),
        ),
    ),
    "java with a level": ("[INFO] hello\n", line("hello", 9, "INFO")),
    "java with a fatal level": ("[FATAL]  hello", line(" hello", 21, "FATAL")),
    "java without a level": ("hello [INFO]", line("hello [INFO]")),
    "a tag is not a level": ("[HTTP] GET /", line("[HTTP] GET /")),
    "an error in brackets is not an exception": ("[ERROR] File not found", line("File not found", 17, "ERROR")),
    "java, uncaught exception": (
        f"no: never: java.lang.IllegalStateException\n{JAVA_TRACE}\n",
        line(
            f"no: never: java.lang.IllegalStateException\n{JAVA_TRACE}",
            17,
            attributes=exception("java.lang.IllegalStateException", "no: never", JAVA_TRACE),
            is_uncaught_exception=True,
        ),
    ),
    "java, a stack trace that the user printed": (
        JAVA_TRACE,
        line(
            JAVA_TRACE.removesuffix("\n"),
            17,
            attributes=exception("java.lang.IllegalStateException", "no: never", JAVA_TRACE.removesuffix("\n")),
        ),
    ),
    "log4j2": (
        f"2026-09-22 06:30:00 {ID} INFO  Handler - a - b\n",
        line("a - b", 9, "INFO", time_ns=SECOND_NS, request_id=ID, attributes={"logger": "Handler"}),
    ),
    "log4j2 with line numbers": (
        f"2026-09-22 06:30:00,123 {ID} ERROR com.example.Handler:42 - no",
        line("no", 17, "ERROR", time_ns=TIME_NS, request_id=ID, attributes={"logger": "com.example.Handler:42"}),
    ),
    "log4j2 with an impossible date": (
        f"2026-09-31 06:30:00 {ID} INFO hello you",
        line("hello you", 9, "INFO", request_id=ID, attributes={"timestamp": "2026-09-31 06:30:00"}),
    ),
    ".net": (f"{ISO}\t{ID}\tdbug\thello", line("hello", 5, "dbug", time_ns=TIME_NS, request_id=ID)),
    ".net outside of invocations": (f"{ISO}\t\tcrit\tno", line("no", 21, "crit", time_ns=TIME_NS)),
    ".net, uncaught exception": (
        f"{ISO}\t{ID}\tfail\t{DOTNET_TRACE}",
        line(
            DOTNET_TRACE,
            17,
            "fail",
            time_ns=TIME_NS,
            request_id=ID,
            attributes=exception("System.InvalidOperationException", "no", DOTNET_TRACE),
            is_uncaught_exception=True,
        ),
    ),
    ".net, an exception that was caught": (
        f"{ISO}\t{ID}\tfail\tcaught\n{DOTNET_TRACE}",
        line(
            f"caught\n{DOTNET_TRACE}",
            17,
            "fail",
            time_ns=TIME_NS,
            request_id=ID,
            attributes=exception("System.InvalidOperationException", "no", DOTNET_TRACE),
        ),
    ),
    "ruby": (
        f"I, [2026-09-22T06:30:00.123456 #8]  INFO {ID} -- app: hello: you",
        line(
            "hello: you",
            9,
            "INFO",
            time_ns=TIME_NS + 456_000,
            request_id=ID,
            attributes={"process.pid": 8, "logger": "app"},
        ),
    ),
    "ruby without a request or a program": (
        "W, [2026-09-22T06:30:00.123456 #8]  WARN  -- : hello",
        line("hello", 13, "WARN", time_ns=TIME_NS + 456_000, attributes={"process.pid": 8}),
    ),
    "ruby with an impossible date": (
        "E, [2026-02-30T06:30:00.123456 #8] ERROR -- : no",
        line("no", 17, "ERROR", attributes={"process.pid": 8, "timestamp": "2026-02-30T06:30:00.123456"}),
    ),
    "almost ruby": ("I, [robot", line("I, [robot")),
    "timeout": (
        f"{ISO} {ID} Task timed out after 3.00 seconds\n\n",
        line("Task timed out after 3.00 seconds\n", 17, time_ns=TIME_NS, request_id=ID),
    ),
    "crash": (
        CRASH,
        line(
            CRASH,
            17,
            request_id=ID,
            attributes=exception("Runtime.ExitError", "Runtime exited with error: signal: killed"),
            is_uncaught_exception=True,
        ),
    ),
    "crash without a type": (
        f"RequestId: {ID} Error: Runtime exited without providing a reason",
        line(
            f"RequestId: {ID} Error: Runtime exited without providing a reason",
            17,
            request_id=ID,
            attributes={"exception.message": "Runtime exited without providing a reason"},
            is_uncaught_exception=True,
        ),
    ),
    "a user's line like a crash": (
        f"RequestId: {ID} Error: pretending to fail",
        line(
            f"RequestId: {ID} Error: pretending to fail",
            17,
            request_id=ID,
            attributes={"exception.message": "pretending to fail"},
        ),
    ),
    "a runtime that cannot start": (
        f"RequestId: {ID} Error: fork/exec /var/task/bootstrap\nRuntime.InvalidEntrypoint",
        line(
            f"RequestId: {ID} Error: fork/exec /var/task/bootstrap\nRuntime.InvalidEntrypoint",
            17,
            request_id=ID,
            attributes=exception("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap"),
            is_uncaught_exception=True,
        ),
    ),
    "start": (
        f"START RequestId: {ID} Version: $LATEST\n",
        line(f"START RequestId: {ID} Version: $LATEST", request_id=ID),
    ),
    "end": (f"END RequestId: {ID}", line(f"END RequestId: {ID}", request_id=ID)),
    "report": (REPORT, line(REPORT, request_id=ID)),
    "report with a trace": (
        f"{REPORT}\tXRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: {SPAN_ID}\tSampled: true\t",
        line(
            f"{REPORT}\tXRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: {SPAN_ID}\tSampled: true\t",
            request_id=ID,
            trace_id=TRACE_ID,
            span_id=SPAN_ID,
        ),
    ),
    "report with an invalid trace": (
        f"{REPORT}\tXRAY TraceId: 1-2-3\tSegmentId: {SPAN_ID}",
        line(f"{REPORT}\tXRAY TraceId: 1-2-3\tSegmentId: {SPAN_ID}", request_id=ID),
    ),
    "init": (
        "INIT_START Runtime Version: python:3.13.v60\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:0a",
        line("INIT_START Runtime Version: python:3.13.v60\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:0a"),
    ),
    "an id before other text": (f"{ID}\thello\tyou", line(f"{ID}\thello\tyou")),
    "a warning with nothing behind it": (
        "LAMBDA_WARNING: Unhandled exception. The most likely cause",
        line("LAMBDA_WARNING: Unhandled exception. The most likely cause"),
    ),
    "plain": ("Successfully added item\r\n", line("Successfully added item")),
    "empty": ("", line("")),
    "a line end": ("\n", line("")),
    "two line ends": ("a\n\n", line("a\n")),
    "a table": ("1\t2\t3\t4", line("1\t2\t3\t4")),
    "a table that contains a level": ("1\t2\tINFO\t4", line("1\t2\tINFO\t4")),
    "a table in brackets": ("[a]\tb\tc\td", line("[a]\tb\tc\td")),
    "a sentence for an id": (f"{ISO}\tno id at all\tINFO\thello", line(f"{ISO}\tno id at all\tINFO\thello")),
    "a sentence for python's id": (
        f"[INFO]\t{ISO}\tno id at all\thello",
        line(f"{ISO}\tno id at all\thello", 9, "INFO"),
    ),
}


@pytest.mark.parametrize(("text", "expected"), TABLE.values(), ids=TABLE)
def test_text_line_is_parsed(text: str, expected: ParsedLine) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(("text", "expected"), TABLE.values(), ids=TABLE)
def test_raw_line_is_kept_and_its_fields_are_parsed(text: str, expected: ParsedLine) -> None:
    raw = text[:-1].removesuffix("\r") if text.endswith("\n") else text

    assert read(text, keep_raw=True) == expected.replace(body=raw)


@pytest.mark.parametrize(
    ("text", "key", "has_runtime_format", "own_time"),
    [
        (f"[INFO]\t{ISO}\t{ID}\thello", "requestId", True, ISO),
        (f"{ISO}\t{ID}\tINFO\thello", "requestId", True, ISO),
        (f"{ISO} {ID} INFO  Handler - a", "requestId", True, ISO),
        (f"{ISO} {ID} Task timed out after 3.00 seconds", "requestId", True, ISO),
        (f"I, [{ISO} #8]  INFO {ID} -- app: hello", "requestId", True, ISO),
        (f"[INFO]\t2026-02-30T06:30:00.123Z\t{ID}\thello", "requestId", True, None),
        (f"START RequestId: {ID} Version: 1", "", False, None),
        (CRASH, "", True, None),
        (f"{ISO}  INFO app: hello", "", False, None),
        ("hello", "", False, None),
    ],
)
def test_text_line_keeps_the_source_of_its_request_id_and_time(
    text: str, key: str, has_runtime_format: bool, own_time: str | None
) -> None:
    parsed = read_line(text)

    assert (parsed.request_id_key, parsed.has_runtime_format) == (key, has_runtime_format)
    assert parsed.own_time == (("timestamp", own_time) if own_time else None)
