"""Where a level counts, and which ids a text names; `lines` has the formats of the loggers."""

import pytest

from telemetry_forwarder.log_formats.parser import read_line
from tests.support.lines import ID, ISO, SPAN_ID, TIME_NS, TRACE_ID


@pytest.mark.parametrize(
    ("text", "number", "time_ns"),
    [
        (f"{ISO} error: m", 17, TIME_NS),
        (f"{ISO} error m", 0, 0),
        (f"{ISO} [error] m", 17, TIME_NS),
        (f"{ISO} [INFO] [ERROR] m", 9, TIME_NS),
        (f"{ISO} [a] (b) c[5] d.py:6 WARN m", 13, TIME_NS),
        (f"{ISO} a b WARN m", 0, 0),
        ("06:30:00 ERR m", 17, 0),
        ("1790058600.123\terror\tm", 17, TIME_NS),
        ("2026/09/22 06:30:00 error: m", 0, 0),
        ("2026/09/22 06:30:00 ERROR: m", 17, TIME_NS // 10**9 * 10**9),
        ("ERROR m", 17, 0),
        ("ERROR", 0, 0),
        ("INFO[0000] m", 9, 0),
        ("[WARN ] m", 13, 0),
        ("[INFOS] m", 0, 0),
        ("error:m", 0, 0),
        ("a=b level=error", 17, 0),
        ("a b level=error", 0, 0),
        ("lvl=warn a=b", 13, 0),
        ("level=gold a=b", 0, 0),
    ],
)
def test_a_level_counts_only_in_its_place(text: str, number: int, time_ns: int) -> None:
    parsed = read_line(text)

    assert (parsed.severity_number, parsed.time_ns, parsed.body) == (number, time_ns, text)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (f'ERROR m requestId="{ID}"', (ID, "", "")),
        (f"ERROR m aws_request_id: {ID}", (ID, "", "")),
        ("ERROR m requestId=5", ("", "", "")),
        (f"m traceparent: 00-{TRACE_ID}-{SPAN_ID}-01", ("", TRACE_ID, SPAN_ID)),
        (f"m trace_id={TRACE_ID} span_id={SPAN_ID}", ("", TRACE_ID, SPAN_ID)),
        (f"m trace_id={TRACE_ID}", ("", TRACE_ID, "")),
        (f"m trace_id={'0' * 32} span_id={SPAN_ID}", ("", "", "")),
        (f"m dd.trace_id={1 << 63} dd.span_id={1 << 62}", ("", f"{1 << 63:032x}", f"{1 << 62:016x}")),
        ("m trace", ("", "", "")),
    ],
)
def test_ids_with_a_label_are_read(text: str, ids: tuple[str, str, str]) -> None:
    parsed = read_line(text)

    assert (parsed.request_id, parsed.trace_id, parsed.span_id) == ids
    assert parsed.body == text


def test_only_the_target_of_rusts_client_reports_a_failure() -> None:
    assert read_line("ERROR lambda_runtime: no").is_uncaught_exception
    assert not read_line("ERROR app: lambda_runtime is slow").is_uncaught_exception
    assert not read_line("WARN lambda_runtime: slow").is_uncaught_exception


def test_quoted_trace_that_names_lambda_and_its_runtime_is_read() -> None:
    trace = (
        r"Traceback (most recent call last):\n  File \"/var/task/lambda_function.py\", line 3, in f\nRuntimeError: no"
    )

    parsed = read_line(f'level=error msg=m exc_info="{trace}"')

    assert (parsed.exception_type, parsed.exception_message) == ("RuntimeError", "no")


def test_colours_are_removed_from_a_known_format_only() -> None:
    assert read_line("\x1b[31merror\x1b[39m: m").body == "error: m"
    assert read_line("\x1b[31mm\x1b[39m").body == "\x1b[31mm\x1b[39m"
    assert read_line("\x1b[31merror\x1b[39m: m", keep_raw=True).body == "\x1b[31merror\x1b[39m: m"
