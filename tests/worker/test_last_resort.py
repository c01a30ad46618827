import threading
import tracemalloc
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.buffer.spool import SPOOL_FULL
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import POSTS
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, ShutdownEvent, SubscriptionResult
from telemetry_forwarder.worker.last_resort import LastResort
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.posts import OBSERVED_NS, event, post
from tests.support.spooling import MB, Process, spool_in

LINES = ["one", "two", "three"]


class Bench:
    def __init__(self, folder: Path, captured: CapturedLog, *, spool_bytes: int = MB) -> None:
        self.clock = FakeClock()
        self.ledger = Ledger()
        self.inbox = Inbox(MB)
        spool = spool_in(folder, captured, self.ledger, self.clock, spool_bytes)
        log = captured.diagnostics(self.clock)
        self.last_resort = LastResort(
            self.inbox, spool, self.ledger, clock=self.clock, log=log, unclosed=threading.Lock()
        )

    def put(self, *lines: str) -> None:
        for line in lines:
            assert self.inbox.put_body(Body(post(event("function", line)), OBSERVED_NS))

    @property
    def posts(self) -> Tally:
        assert self.ledger.snapshot().is_exact
        return self.ledger.snapshot().posts


def end(clock: FakeClock) -> ShutdownEvent:
    return ShutdownEvent("timeout", Deadline.after(1.0, clock))


def test_posts_are_stored_for_the_next_process(tmp_path: Path, captured: CapturedLog) -> None:
    bench = Bench(tmp_path, captured)
    bench.put(*LINES[:2])
    bench.inbox.put_event(SubscriptionResult(True))
    bench.last_resort.store(bench.inbox.take())
    bench.put(LINES[2])

    bench.last_resort.store_at_end(end(bench.clock))

    assert bench.posts == Tally(POSTS, received=3, spooled=3)
    process = Process(tmp_path, captured)
    process.intake.restore()
    while process.intake.has_replay:
        process.intake.replay_next()
    assert process.on_disk == LINES


def test_small_spool_takes_the_newest_posts(tmp_path: Path, captured: CapturedLog) -> None:
    bench = Bench(tmp_path, captured, spool_bytes=20_000)
    bench.put(*[f"post {number} ".ljust(3_000) for number in range(20)])

    bench.last_resort.store(bench.inbox.take())

    assert bench.posts == Tally(POSTS, received=20, spooled=4, dropped={SPOOL_FULL: 16})


def test_posts_are_not_copied_all_at_once(tmp_path: Path, captured: CapturedLog) -> None:
    bench = Bench(tmp_path, captured, spool_bytes=MB + MB // 4)
    bench.put(*[f"post {number} ".ljust(9_000) for number in range(100)])
    items = bench.inbox.take()

    tracemalloc.start()
    bench.last_resort.store(items)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert bench.posts == Tally(POSTS, received=100, spooled=100)
    assert peak_bytes < 600_000


@pytest.mark.parametrize(("spool_bytes", "left_s"), [(0, 1.0), (MB, 0.0)])
def test_posts_without_room_or_time_are_counted_as_dropped(
    tmp_path: Path, captured: CapturedLog, spool_bytes: int, left_s: float
) -> None:
    bench = Bench(tmp_path, captured, spool_bytes=spool_bytes)
    bench.put(*LINES)

    event = end(bench.clock)
    event.exit_by = Deadline.after(left_s, bench.clock)
    bench.last_resort.store_at_end(event)

    assert bench.posts == Tally(POSTS, received=3, dropped={"not spooled": 3})


def test_totals_contain_what_was_refused_and_what_was_not_stored(tmp_path: Path, captured: CapturedLog) -> None:
    bench = Bench(tmp_path, captured)
    bench.put("stored")
    bench.last_resort.store_at_end(end(bench.clock))
    bench.put("not stored")
    bench.inbox.note_refusal()
    bench.inbox.foreign_posts = 2

    bench.last_resort.log_totals()

    (line,) = captured.lines
    assert line.startswith(
        "INFO records received 0 posts held 1 posts spooled 1 posts refused for now 1 foreign posts refused 2; logs"
    )
