from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS, Batch
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.export.exporter import Exporters, ExportResult
from telemetry_forwarder.export.flusher import Flusher
from telemetry_forwarder.export.retry import RetryPolicy
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import SendFinished
from telemetry_forwarder.transport.client import Transport
from tests.support import collector as c
from tests.support.batches import batch
from tests.support.captured_log import CapturedLog
from tests.support.collector import FakeCollector
from tests.support.fake_clock import FakeClock
from tests.support.inboxes import wait_and_take
from tests.support.otlp_messages import count
from tests.support.spooling import outbox_of, spool_in
from tests.support.thread_limit import no_thread_starts

# So long that only a hang exceeds it.
LONG_S = 30.0
LIMIT_BYTES = 100_000
PATHS = {LOGS: "/v1/logs", SPANS: "/v1/traces", METRICS: "/v1/metrics"}


class Bench:
    """A flusher with the parts that it uses."""

    def __init__(self, collector: FakeCollector, captured: CapturedLog, folder: Path) -> None:
        self.clock = FakeClock()
        self.captured = captured
        self.collector = collector
        self.inbox = Inbox(1_000)
        self.ledger = Ledger()
        self.outbox = outbox_of(self.ledger, limit_bytes=LIMIT_BYTES)
        self.log = log = captured.diagnostics(self.clock)
        self.spool = spool_in(folder, captured, self.ledger, self.clock, limit_bytes=1_000_000)
        self.transport = Transport(log)
        self.exporters = Exporters(
            {signal: Endpoint(signal, collector.endpoint + path) for signal, path in PATHS.items()},
            self.transport,
            clock=self.clock,
            log=log,
            retry=RetryPolicy(max_attempts=1, random=lambda: 1.0),
        )
        self.flush = self.make(self.exporters)

    def make(self, exporters: Exporters) -> Flusher:
        return Flusher(
            self.inbox,
            self.outbox,
            self.spool,
            exporters=exporters,
            ledger=self.ledger,
            ownership=Ownership(),
            log=self.log,
        )

    def spooled(self, *batches: Batch) -> None:
        for each in batches:
            self.ledger.received(each.signal, each.items)
        assert self.spool.write(batches, Deadline.after(1.0, self.clock)) == []

    def held(self, *batches: Batch) -> None:
        for each in batches:
            self.outbox.put(each)

    def run(self, seconds: float = 10.0, *, is_last: bool = False, is_last_chance: bool = False) -> bool:
        """Flush everything and wait for its end."""
        self.flush.begin(Deadline.after(seconds, self.clock), is_last=is_last, is_last_chance=is_last_chance)
        while not self.flush.is_over:
            for item in wait_and_take(self.inbox, LONG_S):
                assert isinstance(item, SendFinished)
                self.flush.sent(item.signal)
        return self.flush.was_delivered

    def take_until(self, signals: set[str]) -> None:
        """Wait until a request of each of *signals* has ended."""
        while signals:
            for item in wait_and_take(self.inbox, LONG_S):
                assert isinstance(item, SendFinished)
                self.flush.sent(item.signal)
                signals = signals - {item.signal}

    def sizes(self, signal: str) -> list[int]:
        return [count(each.message) for each in self.collector.requests if each.path == PATHS[signal]]

    def tally(self, signal: str) -> Tally:
        return self.ledger.snapshot().of(signal)


@pytest.fixture
def bench(collector: FakeCollector, tmp_path: Path) -> Iterator[Bench]:
    with CapturedLog() as captured:
        bench = Bench(collector, captured, tmp_path)
        yield bench
        bench.transport.close()


def test_nothing_to_send_is_over_at_once(bench: Bench) -> None:
    assert bench.run()
    assert bench.collector.connections == 0


def test_what_is_on_disk_and_in_memory_is_sent_as_one_request_of_each_signal_the_oldest_first(bench: Bench) -> None:
    bench.spooled(batch(LOGS, 3, padding="1"), batch(SPANS, 1), batch(LOGS, 4, padding="2"))
    bench.held(batch(LOGS, 5, padding="3"), batch(METRICS, 2))

    assert bench.run()

    assert {signal: bench.sizes(signal) for signal in SIGNALS} == {LOGS: [12], SPANS: [1], METRICS: [2]}
    assert "".join(record.body.string_value for _, _, record in bench.collector.logs()) == "111222233333"
    assert bench.tally(LOGS) == Tally(LOGS, received=12, delivered=12)
    assert (bench.spool.waiting, bench.outbox.held_bytes) == (0, 0)


def test_sender_thread_that_cannot_start_costs_one_attempt(bench: Bench) -> None:
    bench.spooled(batch(SPANS, 1), batch(LOGS, 3))
    bench.held(batch(LOGS, 4), batch(METRICS, 2))

    with no_thread_starts():
        assert not bench.run()

    assert bench.tally(LOGS) == Tally(LOGS, received=7, held=4, spooled=3)
    assert bench.tally(METRICS) == Tally(METRICS, received=2, held=2)
    assert bench.captured.lines == ["WARN export of logs: can't start new thread; telemetry is held"]
    assert bench.run()
    assert {signal: bench.sizes(signal) for signal in SIGNALS} == {LOGS: [7], SPANS: [1], METRICS: [2]}


def test_other_signals_are_sent_if_one_sender_thread_cannot_start(bench: Bench) -> None:
    bench.held(batch(LOGS, 4), batch(METRICS, 2))

    with no_thread_starts("export of metrics"):
        assert not bench.run()

    assert bench.tally(LOGS) == Tally(LOGS, received=4, delivered=4)
    assert bench.tally(METRICS) == Tally(METRICS, received=2, held=2)


def test_failing_signal_does_not_delay_the_others(bench: Bench) -> None:
    bench.collector.script(then=c.Response(status=503, path=PATHS[SPANS]))
    bench.spooled(batch(SPANS, 1), batch(LOGS, 3))
    bench.held(batch(SPANS, 2), batch(LOGS, 4))

    assert not bench.run()

    assert bench.sizes(LOGS) == [7]
    assert bench.sizes(SPANS) == [3]
    assert bench.tally(SPANS) == Tally(SPANS, received=3, held=2, spooled=1)


def test_signals_do_not_wait_for_each_other(bench: Bench) -> None:
    hang = c.Hang(path=PATHS[LOGS])
    bench.collector.script(hang)
    bench.held(batch(LOGS, 3), batch(SPANS, 1), batch(METRICS, 2))
    bench.flush.begin(Deadline.after(10.0, bench.clock), is_last_chance=False)

    bench.take_until({SPANS, METRICS})

    assert [bench.tally(signal).delivered for signal in SIGNALS] == [0, 1, 2]
    hang.until.set()
    bench.take_until({LOGS})


def test_batches_added_later_are_sent_unless_their_signal_has_failed(bench: Bench) -> None:
    bench.collector.script(then=c.Response(status=503, path=PATHS[SPANS]))
    bench.held(batch(SPANS, 1), batch(LOGS, 2))
    bench.run()

    bench.held(batch(SPANS, 3), batch(LOGS, 4))
    bench.flush.send_more()
    bench.take_until({LOGS})

    assert {signal: bench.sizes(signal) for signal in (SPANS, LOGS)} == {SPANS: [1], LOGS: [2, 4]}
    assert not bench.flush.was_delivered


def test_rest_of_a_partly_delivered_file_goes_to_memory(bench: Bench) -> None:
    bench.collector.script(c.Response(status=413), c.OK, then=c.Response(status=503))
    bench.spooled(batch(LOGS, 4))

    assert not bench.run()

    assert bench.tally(LOGS) == Tally(LOGS, received=4, delivered=2, held=2)
    assert (bench.spool.waiting, bench.outbox.held_items(LOGS)) == (0, 2)


def test_rejected_and_refused_items_are_counted_and_the_flush_continues(bench: Bench) -> None:
    bench.collector.script(c.Response(rejected=1), c.Response(status=400))
    bench.outbox = outbox_of(bench.ledger, request_items=5)
    bench.flush = bench.make(bench.exporters)
    bench.held(batch(LOGS, 3), batch(LOGS, 4), batch(LOGS, 5))

    assert bench.run()

    assert bench.tally(LOGS) == Tally(LOGS, received=12, delivered=7, rejected=1, dropped={"status 400": 4}, held=0)


class TestSlowStart:
    """What is left from a failure is sent in parts: one request at each flush, each twice as large."""

    PARTS = [batch(LOGS, 1, padding="x" * 120_000)] * 7

    def test_what_earlier_processes_have_left_on_disk(self, bench: Bench) -> None:
        bench.spooled(*self.PARTS)

        assert [bench.run(), bench.run(), bench.run()] == [False, False, True]
        assert bench.sizes(LOGS) == [2, 4, 1]

    def test_what_was_held_in_memory(self, bench: Bench) -> None:
        bench.collector.script(c.Response(status=503))
        bench.outbox = outbox_of(bench.ledger)
        bench.flush = bench.make(bench.exporters)
        bench.held(self.PARTS[0])

        results = [bench.run()]
        bench.held(*self.PARTS[1:3])
        bench.clock.advance(60)
        results += [bench.run(), bench.run()]

        assert results == [False, False, True]
        assert bench.sizes(LOGS) == [1, 2, 1]

    def test_failure_begins_it_again(self, bench: Bench) -> None:
        bench.collector.script(c.OK, c.Response(status=503))
        bench.spooled(*self.PARTS)

        bench.run()
        bench.run()
        bench.clock.advance(60)
        bench.run()

        assert bench.sizes(LOGS) == [2, 4, 2]

    def test_without_a_failure_there_is_no_limit(self, bench: Bench) -> None:
        bench.run()
        bench.spooled(*self.PARTS)

        assert bench.run()
        assert bench.sizes(LOGS) == [7]

    def test_at_the_last_chance_there_is_no_limit(self, bench: Bench) -> None:
        bench.spooled(*self.PARTS)

        assert bench.run(is_last_chance=True)
        assert bench.sizes(LOGS) == [7]

    def test_last_flush_of_a_process_sends_all_parts(self, bench: Bench) -> None:
        bench.spooled(*self.PARTS)

        assert bench.run(is_last=True)
        assert bench.sizes(LOGS) == [2, 4, 1]

    def test_last_flush_of_a_process_ends_with_the_first_failure(self, bench: Bench) -> None:
        bench.collector.script(c.OK, c.Response(status=503))
        bench.spooled(*self.PARTS)

        assert not bench.run(is_last=True)
        assert bench.sizes(LOGS) == [2, 4]
        assert bench.tally(LOGS) == Tally(LOGS, received=7, delivered=2, spooled=5)

    def test_batch_that_is_larger_is_sent_alone(self, bench: Bench) -> None:
        large = batch(LOGS, 2, padding="x" * 200_000)
        bench.spooled(large, *self.PARTS[:1])

        assert [bench.run(), bench.run()] == [False, True]
        assert bench.sizes(LOGS) == [2, 1]


@pytest.mark.parametrize("is_held", [True, False])
def test_expired_deadline_sends_nothing_and_reports_whether_anything_is_left(bench: Bench, is_held: bool) -> None:
    if is_held:
        bench.held(batch(LOGS, 3))

    assert bench.run(0.0) is not is_held
    assert bench.collector.connections == 0


def test_last_chance_tries_a_failing_endpoint(bench: Bench) -> None:
    bench.collector.script(c.Response(status=503))
    bench.held(batch(LOGS, 3))

    assert [bench.run(), bench.run(), bench.run(is_last_chance=True)] == [False, False, True]
    assert bench.sizes(LOGS) == [3, 3]


def test_batch_that_no_longer_fits_into_memory_goes_to_disk(bench: Bench) -> None:
    bench.collector.script(then=c.Response(status=503))
    bench.held(old := batch(LOGS, 1, padding="x" * (LIMIT_BYTES - 1_000)))
    bench.flush.begin(Deadline.after(10.0, bench.clock), is_last_chance=False)
    bench.held(batch(LOGS, 1, padding="y" * 2_000))

    while not bench.flush.is_over:
        for _ in wait_and_take(bench.inbox, LONG_S):
            bench.flush.sent(LOGS)

    assert bench.tally(LOGS) == Tally(LOGS, received=2, held=1, spooled=1)
    assert (entry := bench.spool.take(LOGS)) is not None
    assert entry.batch == old


def test_abandoned_batches_are_returned_or_on_disk(bench: Bench) -> None:
    hang = c.Hang()
    bench.collector.script(then=hang)
    bench.spooled(batch(LOGS, 3))
    bench.held(batch(SPANS, 2))
    bench.flush.begin(Deadline.after(10.0, bench.clock), is_last_chance=False)

    left = bench.flush.abandon()

    assert [(each.signal, each.items) for each in left] == [(SPANS, 2)]
    assert bench.tally(LOGS) == Tally(LOGS, received=3, spooled=3)
    assert bench.flush.is_over
    hang.until.set()
    bench.take_until({LOGS, SPANS})
    assert bench.tally(LOGS) == Tally(LOGS, received=3, spooled=3)


def test_abandoned_request_that_was_answered_counts(bench: Bench) -> None:
    bench.spooled(batch(LOGS, 3))
    bench.held(batch(LOGS, 4))
    bench.flush.begin(Deadline.after(10.0, bench.clock), is_last_chance=False)
    bench.inbox.wait(LONG_S)

    left = bench.flush.abandon()

    assert left == []
    assert bench.tally(LOGS) == Tally(LOGS, received=7, delivered=7)
    assert (bench.spool.waiting, bench.spool.used_bytes) == (0, 0)


class BrokenExporters(Exporters):
    def __init__(self) -> None:
        pass

    def send(self, *_: object, **__: object) -> ExportResult:
        raise RuntimeError("broken on purpose")


def test_internal_error_drops_only_the_batch(bench: Bench) -> None:
    bench.flush = bench.make(BrokenExporters())
    bench.spooled(batch(LOGS, 3))
    bench.held(batch(LOGS, 4), batch(SPANS, 1), batch(METRICS, 2))

    assert bench.run()

    assert bench.tally(METRICS) == Tally(METRICS, received=2, dropped={"failed with RuntimeError": 2})
    assert bench.tally(LOGS) == Tally(LOGS, received=7, dropped={"failed with RuntimeError": 7})
    assert bench.spool.waiting == 0
