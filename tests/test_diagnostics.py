import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry_forwarder.diagnostics import LEVELS, Diagnostics, is_own_line
from tests.support.fake_clock import FakeClock


class Pipe:
    """A pipe in the place of stderr."""

    def __init__(self) -> None:
        self.reading_end, self.writing_end = os.pipe()
        os.set_blocking(self.reading_end, False)

    def read(self) -> str:
        try:
            return os.read(self.reading_end, 65_536).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        os.close(self.reading_end)
        os.close(self.writing_end)


@pytest.fixture
def stderr() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def log_at_every_level(level: str, stderr: Pipe) -> str:
    log = Diagnostics(level, FakeClock(), file=stderr.writing_end)
    log.debug(lambda: "message")
    for log_message in (log.info, log.warn, log.error):
        log_message("message")
    return stderr.read()


def test_line_consists_of_mark_level_and_message(stderr: Pipe) -> None:
    assert log_at_every_level("debug", stderr) == (
        "[telemetry-forwarder] DEBUG message\n"
        "[telemetry-forwarder] INFO message\n"
        "[telemetry-forwarder] WARN message\n"
        "[telemetry-forwarder] ERROR message\n"
    )


@pytest.mark.parametrize("level", ["info", "warn", "error", "none"])
def test_debug_message_is_not_built_unless_it_is_logged(level: str, stderr: Pipe) -> None:
    built: list[int] = []

    def build() -> str:
        built.append(1)
        return "message"

    Diagnostics(level, FakeClock(), file=stderr.writing_end).debug(build)

    assert (built, stderr.read()) == ([], "")


@pytest.mark.parametrize(("level", "lines"), list(zip(LEVELS, (4, 3, 2, 1, 0), strict=True)))
def test_nothing_below_the_level_is_logged(level: str, lines: int, stderr: Pipe) -> None:
    assert len(log_at_every_level(level, stderr).splitlines()) == lines


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("one\ntwo\n\nfour", "one | two |  | four"),
        ("one\r\ntwo\rthree", "one  | two three"),
        ("\ud800 of a name that is not UTF-8", "? of a name that is not UTF-8"),
        ("x" * 5_000, "x" * 1_000),
    ],
)
def test_message_is_one_line_of_bounded_length(message: str, line: str, stderr: Pipe) -> None:
    Diagnostics("info", FakeClock(), file=stderr.writing_end).info(message)

    assert stderr.read() == f"[telemetry-forwarder] INFO {line}\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.text(max_size=3_000))
def test_any_message_is_one_recognised_line_that_fits_a_single_write(stderr: Pipe, message: str) -> None:
    Diagnostics("info", FakeClock(), file=stderr.writing_end).error(message)

    line = stderr.read()
    # A pipe accepts PIPE_BUF bytes without mixing them with another thread's.
    assert (line.count("\n"), line[-1], len(line.encode()) <= 4_096) == (1, "\n", True)
    assert is_own_line(line)


@pytest.mark.parametrize(
    ("record", "is_own"),
    [
        ("[telemetry-forwarder] INFO message", True),
        ({"message": "[telemetry-forwarder] INFO message", "level": "INFO"}, True),
        ("INFO [telemetry-forwarder] message", False),
        ({"message": {"text": "[telemetry-forwarder]"}}, False),
        ({}, False),
        ("", False),
        (None, False),
        (["[telemetry-forwarder]"], False),
    ],
)
def test_own_lines_are_recognised_as_text_and_in_json(record: object, is_own: bool) -> None:
    assert is_own_line(record) is is_own


def test_warning_with_a_key_is_logged_once_a_minute(stderr: Pipe) -> None:
    clock = FakeClock()
    log = Diagnostics("info", clock, file=stderr.writing_end)

    for second in range(0, 130, 10):
        log.warn(f"{second} s", once_a_minute="key")
        clock.advance(10)

    assert stderr.read().splitlines() == [
        "[telemetry-forwarder] WARN 0 s",
        "[telemetry-forwarder] WARN 60 s",
        "[telemetry-forwarder] WARN 120 s",
    ]


def test_keys_are_independent(stderr: Pipe) -> None:
    log = Diagnostics("info", FakeClock(), file=stderr.writing_end)

    for key in ("a", "b", "a", "", ""):
        log.warn(key, once_a_minute=key)

    assert [line[-1] for line in stderr.read().splitlines()] == ["a", "b", " ", " "]


def test_number_of_keys_is_bounded(stderr: Pipe) -> None:
    log = Diagnostics("info", FakeClock(), file=stderr.writing_end)

    for number in range(101):
        log.warn("message", once_a_minute=f"key {number}")
    log.warn("message", once_a_minute="key 0")

    assert len(stderr.read().splitlines()) == 102


def test_closed_stderr_loses_the_line_without_an_error() -> None:
    pipe = Pipe()
    pipe.close()

    Diagnostics("info", FakeClock(), file=pipe.writing_end).error("message")
