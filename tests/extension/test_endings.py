"""Ends the process in every way that leaves it a moment: what it holds is stored, and delivered by the next process."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.collector import FakeCollector
from tests.support.extension_process import ExtensionProcess
from tests.support.fake_lambda import NEXT, Response, invoke, shutdown
from tests.support.otlp_messages import LOGS
from tests.support.posts import event, post

_LINES = 2_000
_TELEMETRY = post(*(event("function", f"line {number}") for number in range(_LINES)))
_TOTALS = "[telemetry-forwarder] INFO records received "

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
    "unreadable event": (unreadable_then_signal, 0, ["WARN ended by SIGTERM, without SHUTDOWN"]),
    **{
        number.name: (send(number), 0, [f"WARN ended by {number.name}, without SHUTDOWN"])
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM)
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
            extension.post(_TELEMETRY)
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
        with ExtensionProcess(opt, held_in(tmp_path, collector) | {"TELEMETRY_FORWARDER_FLUSH": "end"}) as extension:
            extension.wait_until_ready()
            extension.runtime.respond(NEXT, invoke())
            # The runtime is never done, so `next` is withheld.
            extension.post(post(event("platform.start", {"requestId": "id"}), event("function", "hello")))
            extension.process.send_signal(number)
            code, lines = extension.end()

        assert (code, collector.accepted(LOGS)) == (0, 1)
    assert lines[0] == f"[telemetry-forwarder] WARN ended by {number.name}, without SHUTDOWN"
    assert lines[1].startswith(_TOTALS)


def test_signal_before_anything_is_held_is_one_line(opt: Path, tmp_path: Path) -> None:
    with FakeCollector() as collector, ExtensionProcess(opt, held_in(tmp_path, collector)) as extension:
        extension.wait_until_ready()
        extension.process.send_signal(signal.SIGTERM)
        code, lines = extension.end()

    assert (code, lines[0]) == (0, "[telemetry-forwarder] WARN ended by SIGTERM, without SHUTDOWN")


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
