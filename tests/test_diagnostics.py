import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry_forwarder.diagnostics import LEVELS, Diagnostics, is_own_line
from tests.support.fake_clock import FakeClock


class Pipe:
    """A stderr that tests can read."""

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


def say_everything(level: str, stderr: Pipe) -> str:
    log = Diagnostics(level, FakeClock(), file=stderr.writing_end)
    log.debug(lambda: "message")
    for speak in (log.info, log.warn, log.error):
        speak("message")
    return stderr.read()


def test_line_has_mark_level_and_message(stderr: Pipe) -> None:
    assert say_everything("debug", stderr) == (
        "[telemetry-forwarder] DEBUG message\n"
        "[telemetry-forwarder] INFO message\n"
        "[telemetry-forwarder] WARN message\n"
        "[telemetry-forwarder] ERROR message\n"
    )


@pytest.mark.parametrize("level", ["info", "warn", "error", "none"])
def test_what_nobody_hears_is_not_even_made(level: str, stderr: Pipe) -> None:
    made = []
    Diagnostics(level, FakeClock(), file=stderr.writing_end).debug(lambda: made.append(1) or "message")

    assert (made, stderr.read()) == ([], "")


@pytest.mark.parametrize(("level", "lines"), list(zip(LEVELS, (4, 3, 2, 1, 0), strict=True)))
def test_nothing_below_the_level_is_said(level: str, lines: int, stderr: Pipe) -> None:
    assert len(say_everything(level, stderr).splitlines()) == lines


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("one\ntwo\n\nfour", "one | two |  | four"),
        ("one\r\ntwo\rthree", "one  | two three"),
        ("\ud800 of a name that is not UTF-8", "? of a name that is not UTF-8"),
        ("x" * 5_000, "x" * 1_000),
    ],
)
def test_message_is_one_line_of_bounded_length(message: str, said: str, stderr: Pipe) -> None:
    Diagnostics("info", FakeClock(), file=stderr.writing_end).info(message)

    assert stderr.read() == f"[telemetry-forwarder] INFO {said}\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.text(max_size=3_000))
def test_anything_said_is_one_line_that_is_recognised_and_written_in_one_piece(
    stderr: Pipe, message: str
) -> None:
    Diagnostics("info", FakeClock(), file=stderr.writing_end).error(message)

    said = stderr.read()
    # A pipe takes as much as PIPE_BUF without another thread's line in it.
    assert (said.count("\n"), said[-1], len(said.encode()) <= 4_096) == (1, "\n", True)
    assert is_own_line(said)


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
def test_own_lines_are_recognised_plain_and_wrapped(record: object, is_own: bool) -> None:
    assert is_own_line(record) is is_own


def test_warning_with_a_key_is_said_once_a_minute(stderr: Pipe) -> None:
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


def test_keys_do_not_silence_each_other(stderr: Pipe) -> None:
    log = Diagnostics("info", FakeClock(), file=stderr.writing_end)

    for key in ("a", "b", "a", "", ""):
        log.warn(key, once_a_minute=key)

    assert [line[-1] for line in stderr.read().splitlines()] == ["a", "b", " ", " "]


def test_more_keys_than_we_remember_cost_repetition_not_memory(stderr: Pipe) -> None:
    log = Diagnostics("info", FakeClock(), file=stderr.writing_end)

    for number in range(101):
        log.warn("message", once_a_minute=f"key {number}")
    log.warn("message", once_a_minute="key 0")

    assert len(stderr.read().splitlines()) == 102


def test_closed_stderr_costs_the_line_only() -> None:
    pipe = Pipe()
    pipe.close()

    Diagnostics("info", FakeClock(), file=pipe.writing_end).error("message")
