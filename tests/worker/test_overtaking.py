"""The main thread takes over at every step in which the worker may be slow: each post is counted and stored once."""

import threading
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.core.ownership import OwnershipLost
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.export.exporter import Exporters
from telemetry_forwarder.export.retry import RetryPolicy
from telemetry_forwarder.export.sender_thread import SenderThread
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, ShutdownEvent
from telemetry_forwarder.transport.client import Transport
from tests.support import collector as c
from tests.support.captured_log import CapturedLog
from tests.support.collector import FakeCollector
from tests.support.forwarders import forwarder_of
from tests.support.posts import OBSERVED_NS, event, post
from tests.support.spooling import LONG, LONG_POST, MB, Process, posts_on_disk

# So long that only a hang exceeds it.
LONG_S = 30.0
PATHS = {LOGS: "/v1/logs", SPANS: "/v1/traces", METRICS: "/v1/metrics"}
REFUSED = "http://127.0.0.1:1"


class Gate:
    """Stops the worker's thread at the *number*th time that it comes to *place*."""

    def __init__(self, place: str, number: int = 1) -> None:
        self._place = place
        self._left = number
        self.has_come = threading.Event()
        self.is_open = threading.Event()

    def come(self, place: str) -> None:
        if place == self._place and threading.current_thread().name == "worker":
            self._left -= 1
            if self._left == 0:
                self.has_come.set()
                self.is_open.wait()


class Gated(Converter):
    """A converter that comes to its gate before and after each call."""

    gate: Gate

    def convert(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        self.gate.come("convert")
        result = super().convert(body, observed_ns, at)
        self.gate.come("converted")
        return result

    def convert_spooled(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        self.gate.come("replay")
        result = super().convert_spooled(body, observed_ns, at)
        self.gate.come("replayed")
        return result

    def collect(self, now_ns: int, measurements: object = ()) -> list[Batch]:
        self.gate.come("collect")
        return super().collect(now_ns, measurements)  # type: ignore[arg-type]

    def finish(self, reason: str, now_ns: int) -> None:
        self.gate.come("finish")
        super().finish(reason, now_ns)


class GatedThread(SenderThread):
    gate: Gate

    def add(self, task: Callable[[], object]) -> None:
        self.gate.come("send")
        super().add(task)
        self.gate.come("sending")


class Run:
    """A forwarder in its thread."""

    def __init__(self, process: Process, captured: CapturedLog, gate: Gate, endpoint: str = REFUSED) -> None:
        assert isinstance(process.converter, Gated)
        process.converter.gate = self.gate = gate
        self.process = process
        self.inbox = Inbox(16 * MB)
        clock, log = process.clock, captured.diagnostics(process.clock)
        self._transport = Transport(log)
        exporters = Exporters(
            {signal: Endpoint(signal, endpoint + path) for signal, path in PATHS.items()},
            self._transport,
            clock=clock,
            log=log,
            retry=RetryPolicy(max_attempts=1),
        )
        self.forwarder = forwarder_of(process, self.inbox, exporters, captured, new_thread=self._new_thread)
        self.end = ShutdownEvent("timeout", Deadline.after(LONG_S, clock))
        self._was_overtaken = False
        self._thread = threading.Thread(target=self._run, name="worker")

    def _new_thread(self, name: str) -> SenderThread:
        thread = GatedThread(name)
        thread.gate = self.gate
        return thread

    def _run(self) -> None:
        try:
            self.forwarder.run(on_warm=lambda: None)
        except OwnershipLost:
            self._was_overtaken = True

    def start(self, *contents: bytes) -> None:
        for content in contents:
            assert self.inbox.put_body(Body(content, OBSERVED_NS))
        self._thread.start()

    def shut_down(self) -> None:
        self.forwarder.limit_work_to_shutdown(self.end)
        self.inbox.put_event(self.end)

    def overtake(self) -> None:
        """Take over while the worker stands at the gate, and open it when everything is stored."""
        assert self.gate.has_come.wait(LONG_S)
        self.inbox.refuse()
        assert self.process.ownership.take(LONG_S)
        self.forwarder.store_at_end(self.end)
        self.forwarder.log_totals()
        self.gate.is_open.set()
        self._thread.join(LONG_S)
        assert not self._thread.is_alive()
        assert self._was_overtaken
        self._transport.close()


def raw_records(folder: Path) -> int:
    """Return the number of records in the posts on disk."""
    return sum(len(orjson.loads(content)) for content in posts_on_disk(folder))


def delivered_later(folder: Path, captured: CapturedLog) -> list[str]:
    """Return the lines that the next process finds on disk, as they are or in posts."""
    process = Process(folder, captured, spool_bytes=8 * MB)
    process.intake.restore()
    while process.intake.has_replay:
        process.intake.replay_next()
    return sorted(process.on_disk)


SHORT = [post(event("function", f"short {number}")) for number in range(3)]
SHORT_LINES = [f"short {number}" for number in range(3)]


@pytest.mark.parametrize(
    ("place", "number"),
    [
        # The first post, and each slice of the second.
        *[(place, number) for place in ("convert", "converted") for number in (1, 2, 3, 4)],
        # As SHUTDOWN begins, at its end, and for what it ends.
        *[("collect", number) for number in (1, 2, 3)],
        ("finish", 1),
        # At the start of the sender's thread.
        ("send", 1),
        ("sending", 1),
    ],
)
def test_each_post_is_counted_and_stored_once(tmp_path: Path, captured: CapturedLog, place: str, number: int) -> None:
    process = Process(tmp_path, captured, spool_bytes=8 * MB, kind=Gated)
    run = Run(process, captured, Gate(place, number))

    run.start(SHORT[0], LONG_POST, *SHORT[1:])
    if place not in ("convert", "converted"):
        run.shut_down()
    run.overtake()

    tally = process.ledger.snapshot().of(LOGS)
    assert process.posts.all_dropped == 0
    assert (tally.received, tally.held, tally.spooled) == (tally.spooled, 0, process.ledger.records_received)
    assert process.ledger.records_received + raw_records(tmp_path) == len(SHORT_LINES) + len(LONG)
    assert delivered_later(tmp_path, captured) == sorted([*SHORT_LINES, *LONG])


@pytest.mark.parametrize(
    ("place", "number", "is_own"),
    [(place, number, False) for place in ("replay", "replayed") for number in (1, 2, 3)]
    + [(place, number, True) for place in ("convert", "converted") for number in (1, 2, 3)],
)
def test_each_stored_post_is_counted_and_stored_once(
    tmp_path: Path, captured: CapturedLog, place: str, number: int, *, is_own: bool
) -> None:
    process = Process(tmp_path, captured, spool_bytes=8 * MB, kind=Gated)
    (process if is_own else Process(tmp_path, captured)).spool_raw(LONG_POST, SHORT[0])
    run = Run(process, captured, Gate(place, number))

    run.start()
    run.overtake()

    tally = process.ledger.snapshot().of(LOGS)
    assert process.posts.all_dropped == 0
    assert (tally.received, tally.held, tally.spooled) == (tally.spooled, 0, process.ledger.records_received)
    assert process.ledger.records_received + raw_records(tmp_path) == len(LONG) + 1
    assert delivered_later(tmp_path, captured) == sorted([*LONG, SHORT_LINES[0]])


def test_posts_that_the_disk_does_not_take_are_counted_as_dropped(tmp_path: Path, captured: CapturedLog) -> None:
    process = Process(tmp_path, captured, spool_bytes=0, kind=Gated)
    run = Run(process, captured, Gate("convert", 2))

    run.start(*SHORT)
    run.overtake()

    assert process.posts.dropped == {"not spooled": 2}
    assert process.ledger.snapshot().of(LOGS).dropped == {"not spooled": 1}
    assert process.ledger.records_received == 1


def test_request_that_was_answered_meanwhile_counts_as_delivered(
    tmp_path: Path, captured: CapturedLog, collector: FakeCollector
) -> None:
    collector.script(hang := c.Hang())
    process = Process(tmp_path, captured, spool_bytes=8 * MB, kind=Gated)
    run = Run(process, captured, Gate("convert", 2), collector.endpoint)
    run.start(SHORT[0])
    run.shut_down()
    collector.wait_for(lambda: len(collector.requests) == 1, LONG_S)
    run.inbox.put_body(Body(SHORT[1], OBSERVED_NS))
    assert run.gate.has_come.wait(LONG_S)

    hang.until.set()
    run.inbox.wait(LONG_S)
    run.overtake()

    tally = process.ledger.snapshot().of(LOGS)
    assert (tally.received, tally.delivered, tally.spooled) == (1, 1, 0)
    assert delivered_later(tmp_path, captured) == ["short 1"]


def test_only_one_of_both_logs_the_totals_and_lost_spans_are_mentioned(tmp_path: Path, captured: CapturedLog) -> None:
    process = Process(tmp_path, captured, kind=Gated)
    run = Run(process, captured, Gate("convert", 2))

    run.start(*SHORT)
    run.overtake()

    warning, totals = captured.lines
    assert warning == "WARN the end came during a conversion: spans and metrics that were not made yet are lost"
    assert totals.startswith("INFO records received 1 posts spooled 2; logs received 1 delivered 0 dropped 0 held 0")
