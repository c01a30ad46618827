"""Ends the process in every way that leaves it a moment: what it holds is stored, and delivered by the next process."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from telemetry_forwarder.core.batch import SIGNALS
from tests.chaos.ledger_line import parse
from tests.support import preload
from tests.support.collector import FakeCollector, Hang
from tests.support.extension_process import ExtensionProcess
from tests.support.fake_lambda import NEXT, Response, invoke, shutdown
from tests.support.otlp_messages import LOGS
from tests.support.posts import event, post
from tests.support.waiting import wait_until
from tests.support.wall_clock import WallClock

_LINES = 2_000
# The extension gives up after 60 s.
_GONE_S = 61.0
_STALLED = Path(preload.__file__).with_name("stalled.c")
_EARLY = "the end came before forwarding was ready; posts are stored as received"
_STUCK = "forwarding does not respond; what is held is stored"
_TOTALS = "[telemetry-forwarder] INFO records received "


def telemetry(number: int = 0) -> bytes:
    """Return a post: Lambda does not send the same twice."""
    return post(*(event("function", f"line {line} of post {number}") for line in range(_LINES)))


End = Callable[[ExtensionProcess], None]


def respond(status: int) -> End:
    return lambda extension: extension.runtime.respond(NEXT, Response(status, b"no"))


def shut_down(left_ms: int) -> End:
    return lambda extension: extension.runtime.respond(NEXT, shutdown(deadlineMs=round(time.time() * 1000) + left_ms))


def send(number: signal.Signals) -> End:
    return lambda extension: extension.process.send_signal(number)


def unreadable_then_signal(extension: ExtensionProcess) -> None:
    extension.runtime.respond(NEXT, Response(body=b'{"eventType":"INVOKE","requestId":"\\ud800","deadlineMs":NaN'))
    extension.runtime.wait_for(NEXT, 3)
    extension.process.send_signal(signal.SIGTERM)


ENDS: dict[str, tuple[End, int, list[str]]] = {
    "next 500": (respond(500), 1, ["ERROR Lambda responded with 500 to next: no"]),
    "next 403": (respond(403), 1, ["ERROR Lambda responded with 403 to next: no"]),
    "next 502": (respond(502), 1, ["ERROR Lambda responded with 502 to next: no"]),
    "deadline in 60 ms": (shut_down(60), 0, []),
    "deadline in 5 ms": (shut_down(5), 0, []),
    "deadline passed": (shut_down(-50), 0, []),
    "deadline long passed": (shut_down(-86_400_000), 0, []),
    "SIGRTMIN": (send(signal.SIGRTMIN), 0, [f"WARN ended by signal {signal.SIGRTMIN:d}, without SHUTDOWN"]),
    "SIGRTMAX": (send(signal.SIGRTMAX), 0, [f"WARN ended by signal {signal.SIGRTMAX:d}, without SHUTDOWN"]),
    "unreadable event": (unreadable_then_signal, 0, ["WARN ended by SIGTERM, without SHUTDOWN"]),
    **{
        number.name: (send(number), 0, [f"WARN ended by {number.name}, without SHUTDOWN"])
        for number in (
            *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM),
            *(signal.SIGXCPU, signal.SIGPROF, signal.SIGVTALRM, signal.SIGIO, signal.SIGPWR, signal.SIGSTKFLT),
        )
    },
}


# Two starts of the real process each.
@pytest.mark.parametrize("name", ENDS)
def test_what_is_held_is_delivered_by_the_next_process(opt: Path, tmp_path: Path, name: str) -> None:
    end, code, lines = ENDS[name]
    with FakeCollector() as collector:
        variables = held_in(tmp_path, collector)
        collector.refuse()
        with ExtensionProcess(opt, variables) as extension:
            extension.runtime.respond(NEXT, invoke())
            extension.post(telemetry())
            extension.runtime.wait_for(NEXT, 2)
            end(extension)
            ended = extension.end()
        collector.listen()
        deliver_rest(opt, variables)

        assert collector.accepted(LOGS) == _LINES

    *first, last = ended[1]
    assert (ended[0], [line for line in first if "does not accept telemetry" not in line]) == (
        code,
        [f"[telemetry-forwarder] {line}" for line in lines],
    )
    assert last.startswith(_TOTALS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_next_is_withheld_ends_the_process_as_well(
    opt: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with FakeCollector() as collector:
        variables = held_in(tmp_path, collector) | {"TELEMETRY_FORWARDER_FLUSH": "end"}
        with ExtensionProcess(opt, variables) as extension:
            extension.wait_until_ready()
            extension.runtime.respond(NEXT, invoke())
            # The runtime is never done, so `next` is withheld.
            extension.post(post(event("platform.start", {"requestId": "id"}), event("function", "hello")))
            extension.process.send_signal(number)
            code, lines = extension.end()
        if not collector.accepted(LOGS):
            # The machine is busy, so there was no time to deliver it.
            deliver_rest(opt, variables)

        assert (code, collector.accepted(LOGS)) == (0, 1)
    assert lines[0] == f"[telemetry-forwarder] WARN ended by {number.name}, without SHUTDOWN"
    assert lines[1].startswith(_TOTALS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_a_stopped_process_ends_it_when_it_continues(
    opt: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with FakeCollector() as collector, ExtensionProcess(opt, held_in(tmp_path, collector)) as extension:
        extension.runtime.respond(NEXT, invoke())
        extension.post(telemetry())
        extension.runtime.wait_for(NEXT, 2)
        for each in (signal.SIGSTOP, number, signal.SIGCONT):
            extension.process.send_signal(each)
        code, lines = extension.end()

        assert (code, collector.accepted(LOGS)) == (0, _LINES)
    assert lines[0] == f"[telemetry-forwarder] WARN ended by {number.name}, without SHUTDOWN"


def test_only_the_main_thread_receives_signals(opt: Path, tmp_path: Path) -> None:
    with FakeCollector() as collector, ExtensionProcess(opt, held_in(tmp_path, collector)) as extension:
        extension.runtime.respond(NEXT, invoke())
        extension.post(telemetry())
        extension.runtime.wait_for(NEXT, 2)
        tasks = Path(f"/proc/{extension.process.pid}/task")
        blocking = {each.name: blocks(each / "status", signal.SIGTERM) for each in tasks.iterdir()}

    # The main thread, the listener and the worker.
    assert len(blocking) >= 3
    assert [thread for thread in blocking if not blocking[thread]] == [str(extension.process.pid)]


def blocks(status: Path, number: signal.Signals) -> bool:
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return bool(int(fields["SigBlk"], 16) >> (number - 1) & 1)


ENDING: dict[str, tuple[End, int, str]] = {
    "next 500": (respond(500), 1, "ERROR Lambda responded with 500 to next: no"),
    "next 403": (respond(403), 1, "ERROR Lambda responded with 403 to next: no"),
    "SIGTERM": (send(signal.SIGTERM), 0, "WARN ended by SIGTERM, without SHUTDOWN"),
    "SHUTDOWN": (shut_down(2_000), 0, ""),
}


@pytest.mark.parametrize("name", ENDING)
def test_signals_while_the_process_ends_have_no_effect(opt: Path, tmp_path: Path, name: str) -> None:
    end, code, reason = ENDING[name]
    with FakeCollector() as collector:
        variables = held_in(tmp_path, collector)
        collector.script(then=Hang(accepts=False))
        with ExtensionProcess(opt, variables) as extension:
            extension.runtime.respond(NEXT, invoke())
            extension.post(telemetry())
            extension.runtime.wait_for(NEXT, 2)
            end(extension)
            # The drain has begun, and its request is not answered.
            wait_until(lambda: bool(collector.requests))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGRTMIN):
                extension.process.send_signal(number)
            ended, lines = extension.end()
        collector.script()
        deliver_rest(opt, variables)

        assert collector.accepted(LOGS) == _LINES

    assert ended == code
    assert [line for line in lines if "does not accept" not in line][:-1] == (
        [f"[telemetry-forwarder] {reason}"] if reason else []
    )
    assert lines[-1].startswith(_TOTALS)


def test_of_several_signals_to_a_stopped_process_the_first_ends_it(opt: Path, tmp_path: Path) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGRTMIN)
    with FakeCollector() as collector, ExtensionProcess(opt, held_in(tmp_path, collector)) as extension:
        extension.runtime.respond(NEXT, invoke())
        extension.post(telemetry())
        extension.runtime.wait_for(NEXT, 2)
        for each in (signal.SIGSTOP, *numbers, signal.SIGCONT):
            extension.process.send_signal(each)
        code, (reason, totals) = extension.end()

        assert (code, collector.accepted(LOGS)) == (0, _LINES)
    assert reason.startswith("[telemetry-forwarder] WARN ended by SIG")
    assert totals.startswith(_TOTALS)


def test_signal_that_the_starting_process_has_blocked_ends_the_process(opt: Path, tmp_path: Path) -> None:
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    try:
        with FakeCollector() as collector, ExtensionProcess(opt, held_in(tmp_path, collector)) as extension:
            extension.wait_until_ready()
            extension.process.send_signal(signal.SIGTERM)
            code, lines = extension.end()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)

    assert (code, lines[0]) == (0, "[telemetry-forwarder] WARN ended by SIGTERM, without SHUTDOWN")


def test_signal_before_anything_is_held_is_one_line(opt: Path, tmp_path: Path) -> None:
    with FakeCollector() as collector, ExtensionProcess(opt, held_in(tmp_path, collector)) as extension:
        extension.wait_until_ready()
        extension.process.send_signal(signal.SIGTERM)
        code, lines = extension.end()

    assert (code, lines[0]) == (0, "[telemetry-forwarder] WARN ended by SIGTERM, without SHUTDOWN")


EARLY_ENDS: dict[str, tuple[End, int, int]] = {
    "SHUTDOWN": (shut_down(2_000), 0, 0),
    "SHUTDOWN in 60 ms": (shut_down(60), 0, 0),
    "SIGTERM": (send(signal.SIGTERM), 0, 1),
    "next 500": (respond(500), 1, 1),
}


@pytest.mark.parametrize("name", EARLY_ENDS)
def test_posts_before_the_worker_is_ready_are_stored(opt: Path, tmp_path: Path, name: str) -> None:
    """On a machine without CPU its imports may take longer than the environment exists."""
    end, code, reasons = EARLY_ENDS[name]
    with FakeCollector() as collector:
        variables = held_in(tmp_path, collector) | {"TELEMETRY_FORWARDER_WARM_UP": "background"}
        with ExtensionProcess(stalled(opt, tmp_path, "start"), variables) as extension:
            extension.runtime.respond(NEXT, invoke())
            for number in range(2):
                extension.post(telemetry(number))
            extension.runtime.wait_for(NEXT, 2)
            end(extension)
            ended = extension.end()
        deliver_rest(opt, variables)

        assert collector.accepted(LOGS) == 2 * _LINES

    early, totals = ended[1][reasons:]
    assert (ended[0], early) == (code, f"[telemetry-forwarder] WARN {_EARLY}")
    assert totals.startswith(f"{_TOTALS}0 posts spooled 2; logs received 0 delivered 0 dropped 0 held 0 spooled 0")


@pytest.mark.parametrize(
    ("flush", "name"),
    [
        ("shutdown", "SHUTDOWN"),
        ("shutdown", "SIGTERM"),
        ("end", "SHUTDOWN"),
        ("end", "SHUTDOWN in 60 ms"),
        ("end", "next 500"),
    ],
)
def test_what_a_worker_holds_that_does_not_respond_is_stored(opt: Path, tmp_path: Path, flush: str, name: str) -> None:
    end, code, reasons = EARLY_ENDS[name]
    with FakeCollector() as collector:
        variables = held_in(tmp_path, collector) | {
            "TELEMETRY_FORWARDER_FLUSH": flush,
            "TELEMETRY_FORWARDER_PLATFORM_LOGS": "none",
        }
        with ExtensionProcess(stalled(opt, tmp_path, "senders"), variables) as extension:
            extension.runtime.respond(NEXT, invoke())
            for number in range(5):
                extension.post(telemetry(number))
            if flush == "end":
                extension.post(post(event("platform.runtimeDone", {"requestId": "id", "status": "success"})))
            extension.runtime.wait_for(NEXT, 2)
            end(extension)
            ended = extension.end()
        assert collector.accepted(LOGS) == 0
        deliver_rest(opt, variables)

        # Without CPU the platform event may not be converted before the end: then it becomes a log record.
        lines = [record.body.string_value for _, _, record in collector.logs()]
        assert len([line for line in lines if line.startswith("line ")]) == 5 * _LINES

    # Nor may a sender be needed before it.
    *stuck, totals = ended[1][reasons:]
    assert ended[0] == code
    assert stuck in ([], [f"[telemetry-forwarder] WARN {_STUCK}"])
    assert totals.startswith(_TOTALS)
    assert {signal: ledger.is_exact for signal, ledger in parse(totals).items()} == dict.fromkeys(SIGNALS, True)


def test_runtime_api_that_is_gone_for_a_minute_ends_the_process(opt: Path, tmp_path: Path) -> None:
    clock = WallClock(opt, tmp_path / "clock")
    with FakeCollector() as collector:
        variables = held_in(tmp_path, collector)
        collector.refuse()
        with ExtensionProcess(clock.opt, variables) as extension:
            extension.runtime.respond(NEXT, invoke())
            extension.post(telemetry())
            extension.runtime.wait_for(NEXT, 2)
            extension.runtime.stop()
            clock.shift_both(_GONE_S, monotonic_s=_GONE_S)
            ended = extension.end()
        collector.listen()
        deliver_rest(opt, variables)

        assert collector.accepted(LOGS) == _LINES

    *first, last = ended[1]
    gone = f"GET /2020-01-01/extension/event/next at {extension.runtime.runtime_api}: [Errno 111] Connection refused"
    assert (ended[0], [line for line in first if "WARN" not in line]) == (1, [f"[telemetry-forwarder] ERROR {gone}"])
    assert last.startswith(_TOTALS)


def stalled(opt: Path, folder: Path, what: str) -> Path:
    """Return a copy of *opt* in which *what* never gets on: the `start` of the worker, or the `senders`."""
    copy = folder / "stalled"
    preload.with_library(opt, copy, _STALLED, define=what.upper())
    return copy


def held_in(folder: Path, collector: FakeCollector) -> dict[str, str]:
    """Return settings with which everything is held until the end."""
    return {
        "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
        "TELEMETRY_FORWARDER_FLUSH": "shutdown",
        "TELEMETRY_FORWARDER_SPOOL_DIR": str(folder / "spool"),
    }


def deliver_rest(opt: Path, variables: dict[str, str]) -> None:
    with ExtensionProcess(opt, variables) as extension:
        extension.runtime.respond(NEXT, shutdown())
        assert extension.end()[0] == 0
