from collections.abc import Callable
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Tally
from telemetry_forwarder.buffer.spool import SPOOL_DAMAGED
from telemetry_forwarder.buffer.spool_format import POSTS_BYTES
from telemetry_forwarder.buffer.store import NOT_SPOOLED
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import LOGS, METRICS, POSTS, SPANS
from telemetry_forwarder.core.ownership import OwnershipLost
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.posts import MOMENT_NS, OBSERVED_NS, event, post, raw_event, raw_post
from tests.support.spooling import LONG, LONG_POST, MB, Process

Processes = Callable[..., Process]

# Of one vCPU, with 128 MB of memory.
SMALL_CPU_SHARE = 128 / 1_769
SHORT_POST = post(event("function", "a line"))
ID = "8286a188-ba32-4475-8077-530cd35c09a9"
START = event("platform.start", {"requestId": ID, "version": "7"})
DONE = event("platform.runtimeDone", {"requestId": ID, "status": "success"})
REPORT = event("platform.report", {"requestId": ID, "status": "success", "metrics": {}})


@pytest.fixture
def processes(tmp_path: Path, captured: CapturedLog) -> Processes:
    return lambda **settings: Process(tmp_path, captured, **settings)


def body(content: bytes) -> Body:
    return Body(content, OBSERVED_NS)


def replay_all(process: Process) -> None:
    process.intake.restore()
    while process.intake.has_replay:
        process.intake.replay_next()


def test_lines_of_a_post_are_stored_and_its_ends_and_reports_are_returned(processes: Processes) -> None:
    process = processes()

    result = process.convert(post(START, event("function", "a line"), DONE, REPORT))

    assert (result.ended, result.reported) == ([ID], [ID])
    assert process.in_memory == ["a line"]


def test_events_from_the_future_show_how_slow_the_wall_clock_is_now(processes: Processes) -> None:
    process = processes()
    found = []

    for number, slow_s in enumerate([0, 5, -1, 3_600, 7]):
        posted = post(event("platform.start", {"requestId": str(number)}))
        process.convert(posted, MOMENT_NS - slow_s * 1_000_000_000)
        found.append(process.clock.slow_by_ns / 1_000_000_000)

    assert found == [0, 5, 0, 3_600, 7]


def test_duplicate_post_is_counted_and_not_converted(processes: Processes) -> None:
    process = processes()

    results = [process.convert(post(START, DONE)) for _ in range(2)]

    assert [result.ended for result in results] == [[ID], ()]
    assert "duplicate posts 1" in process.ledger.summary()


def test_equal_parts_of_a_cut_record_are_no_duplicates(processes: Processes) -> None:
    process = processes()

    for raw in (b'"x', b"xxxx", b"xxxx", b'x"'):
        process.convert(raw_post(raw_event(raw)))

    assert process.in_memory == ["x" * 10]


@pytest.mark.parametrize("is_own", [True, False])
def test_duplicate_of_a_post_that_was_spooled_unconverted_is_not_converted(
    processes: Processes, *, is_own: bool
) -> None:
    """Lambda repeats posts most likely while there is too little CPU to convert or to answer them."""
    process = processes()
    (process if is_own else processes()).spool_raw(SHORT_POST, SHORT_POST, raw_post())

    replay_all(process)

    assert process.in_memory + process.on_disk == ["a line"]
    assert process.posts.delivered == 3
    assert "duplicate posts 1" in process.ledger.summary()


def test_equal_parts_of_a_cut_record_that_were_spooled_are_no_duplicates(processes: Processes) -> None:
    processes().spool_raw(*[raw_post(raw_event(raw)) for raw in (b'"x', b"xxxx", b"xxxx", b'x"')])
    process = processes()

    replay_all(process)

    assert process.on_disk == ['"x', "xxxx", "xxxx", 'x"']


def test_post_that_is_spooled_for_lack_of_time_is_no_duplicate_of_itself(processes: Processes) -> None:
    process = processes(spool_bytes=16_000_000)
    process.intake.postpone([Body(SHORT_POST, OBSERVED_NS)])
    process.intake.postpone([Body(b" " * 8_000_000, OBSERVED_NS)])
    process.shut_down(1.4, "spindown")
    # 30 ms are left: not enough to convert the first and store the other, but to convert the first alone.
    process.clock.advance(0.67)
    for _ in range(2):
        list(process.intake.convert_next(1, may_replay=False))
    had_backlog = process.intake.has_backlog

    replay_all(process)

    assert not had_backlog
    assert process.in_memory == ["a line"]


class Failing(Converter):
    def convert(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        if body == b"[]":
            raise RuntimeError("broken on purpose")
        return super().convert(body, observed_ns, at)


def test_defect_of_the_conversion_costs_one_post(processes: Processes, captured: CapturedLog) -> None:
    process = processes(kind=Failing)

    process.convert(b"[]")
    process.convert(SHORT_POST)

    assert process.in_memory == ["a line"]
    assert captured.lines == ["WARN the rest of a post was dropped: RuntimeError: broken on purpose"]
    assert "posts dropped 1" in process.ledger.summary()


def test_spans_and_metrics_are_stored_when_they_are_collected(processes: Processes) -> None:
    process = processes()
    process.convert(post(START, DONE, REPORT))
    had_pending = process.intake.has_pending_events

    process.intake.collect([Measurement("a.counter", "1", 1, {}, is_counter=True)])

    assert (had_pending, process.intake.has_pending_events) == (True, False)
    assert process.outbox.held_items(SPANS) > 0
    assert process.outbox.held_items(METRICS) > 0


def test_open_invocation_ends_with_the_shutdown(processes: Processes) -> None:
    process = processes()
    process.convert(post(START))
    process.intake.collect()
    before = process.outbox.held_items(SPANS)

    process.intake.finish("timeout")
    process.intake.collect()

    assert (before, process.outbox.held_items(SPANS)) == (0, 1)


def test_end_may_arrive_before_the_invocation(processes: Processes) -> None:
    process = processes()
    invoke = InvokeEvent(ID, "arn", "", Deadline.after(1.0, process.clock))
    other = InvokeEvent("other", "arn", "", Deadline.after(1.0, process.clock))

    process.convert(post(START, DONE))

    assert [process.intake.invoked(invoke), process.intake.invoked(other)] == [True, False]


@pytest.mark.parametrize(
    ("content", "reason", "left_s", "passed_s", "is_enough"),
    [
        # Converting takes 0.12 s per MB of a whole CPU, here a quarter; the last 0.7 s are for sending and spooling.
        (LONG_POST, "timeout", 2.0, 1.26, True),
        (LONG_POST, "timeout", 2.0, 1.27, False),
        (SHORT_POST, "timeout", 2.0, 1.29, True),
        (SHORT_POST, "timeout", 2.0, 1.3, False),
        # Or half of the time there is.
        (SHORT_POST, "timeout", 0.1, 0.04, True),
        (SHORT_POST, "timeout", 0.1, 0.05, False),
    ],
)
def test_post_is_converted_if_there_is_time_for_a_slice_of_it(
    processes: Processes, content: bytes, reason: str, left_s: float, passed_s: float, is_enough: bool
) -> None:
    process = processes()

    process.shut_down(left_s, reason)
    process.clock.advance(passed_s)
    process.convert(content)

    assert (process.posts.spooled == 0) is is_enough


class TakingTime(Converter):
    """A converter that takes as long as typical lines do with 128 MB of memory."""

    clock: FakeClock

    def convert(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        result = super().convert(body, observed_ns, at)
        self.clock.advance((result.next_at - at) * 0.03 / MB / SMALL_CPU_SHARE)
        return result


@pytest.mark.parametrize("reason", ["spindown", "timeout"])
def test_large_posts_are_converted_oldest_first_as_long_as_there_is_time(processes: Processes, reason: str) -> None:
    process = processes(kind=TakingTime, cpu_share=SMALL_CPU_SHARE, spool_bytes=8 * MB)
    assert isinstance(process.converter, TakingTime)
    process.converter.clock = process.clock
    end = Deadline.after(2.0, process.clock)

    process.shut_down(2.0, reason)
    for number in range(5):
        process.intake.postpone([body(post(event("function", str(number) * MB)))])
    while process.intake.has_backlog:
        list(process.intake.convert_next(1, may_replay=False))

    assert [line[0] for line in process.in_memory] == ["0", "1", "2"]
    assert process.posts == Tally(POSTS, received=2, spooled=2)
    assert end.left_s() >= 0.7


def test_time_to_spool_the_backlog_is_reserved(processes: Processes) -> None:
    process = processes()
    other = post(event("function", "another line"))

    process.shut_down(2.0)
    process.clock.advance(1.2)
    process.convert(SHORT_POST)
    for content in [other, *[b" " * MB] * 15]:
        process.intake.postpone([body(content)])
    list(process.intake.convert_next(1, may_replay=False))

    assert process.in_memory == ["a line"]
    assert process.posts == Tally(POSTS, received=1, spooled=1)


def test_backlog_is_converted_in_its_order(processes: Processes) -> None:
    process = processes()
    for line in ("one", "two", "three"):
        process.intake.postpone([body(post(event("function", line)))])
    before = (process.intake.pending_posts, process.intake.has_backlog, process.intake.has_work)

    results = list(process.intake.convert_next(MB, may_replay=False))

    assert before == (3, True, True)
    assert (len(results), process.in_memory) == (3, ["one", "two", "three"])
    assert (process.intake.pending_posts, process.intake.has_backlog, process.intake.has_work) == (0, False, False)


def test_backlog_is_bounded(processes: Processes) -> None:
    process = processes()

    for number in range(20):
        process.intake.postpone([body(b"%d" % number * (MB // len(str(number))))])

    assert (process.intake.pending_posts, process.posts.received) == (16, 4)


def test_spooled_backlog_is_converted_by_the_next_process(processes: Processes) -> None:
    first = processes()
    first.spool_raw(post(event("function", "one"), event("function", "two")), post(event("function", "three")))
    second = processes()

    replay_all(second)

    assert first.posts == Tally(POSTS, received=2, spooled=2)
    assert second.posts == Tally(POSTS, restored=2, delivered=2)
    assert (second.in_memory, second.on_disk) == ([], ["one", "two", "three"])


def test_posts_beyond_the_backlog_are_converted_in_their_order_with_their_invocations(processes: Processes) -> None:
    process = processes(spool_bytes=20 * MB)
    process.intake.invoked(InvokeEvent(ID, "arn", "", Deadline.after(1.0, process.clock)))
    large = [post(event("function", str(number))) + b" " * 4 * MB for number in range(5)]

    for content in [*large, post(START, event("function", "5"), DONE, REPORT)]:
        process.intake.postpone([body(content)])
    spooled = process.posts.spooled
    results: list[ConversionResult] = []
    while process.intake.has_work:
        results += process.intake.convert_next(1, may_replay=True)
    process.intake.collect()

    assert spooled == 2
    assert [line for line in process.in_memory if not line.startswith("platform")] == ["0", "1", "2", "3", "4", "5"]
    assert results[-1].ended == [ID]
    assert process.outbox.held_items(SPANS) > 0
    assert process.posts == Tally(POSTS, received=2, delivered=2)


def test_conversion_of_a_spooled_post_that_is_interrupted_is_continued_by_the_next_process(
    processes: Processes,
) -> None:
    processes().spool_raw(LONG_POST, SHORT_POST)
    second = processes()
    second.intake.restore()
    second.intake.replay_next()

    second.shut_down(1.0)
    second.intake.spool_backlog(Deadline.after(1.0, second.clock), between=lambda: None)
    begin = second.in_memory
    third = processes()
    replay_all(third)

    assert 0 < len(begin) < 1_000
    assert sorted([*begin, *third.on_disk]) == sorted([*LONG, "a line"])
    assert second.posts == Tally(POSTS, restored=2, received=1, delivered=1, spooled=2)
    assert third.posts == Tally(POSTS, restored=2, delivered=2)


def test_after_shutdown_the_replay_is_left_to_the_next_process(processes: Processes) -> None:
    processes().spool_raw(b"[]")
    process = processes()
    process.intake.restore()

    had_replay = process.intake.has_replay
    process.shut_down(1.0)

    assert (had_replay, process.intake.has_replay) == (True, False)
    assert not process.intake.has_work
    assert process.posts == Tally(POSTS, restored=1, spooled=1)


def test_without_a_next_process_posts_are_replayed_while_there_is_time(processes: Processes) -> None:
    processes().spool_raw(LONG_POST, SHORT_POST)
    process = processes()
    process.intake.restore()

    process.shut_down(2.0, "spindown")
    for _ in range(3):
        process.intake.replay_next()
    had_work = process.intake.has_work
    process.clock.advance(1.3)
    process.intake.replay_next()

    assert process.in_memory == LONG
    assert (had_work, process.intake.has_work) == (True, False)
    assert process.posts == Tally(POSTS, restored=2, delivered=1, spooled=1)


def test_first_shutdown_counts(processes: Processes) -> None:
    process = processes()

    process.shut_down(0.0)
    process.shut_down(10.0)
    process.convert(SHORT_POST)

    assert process.posts.spooled == 1


def test_backlog_without_room_on_disk_is_counted_as_dropped(processes: Processes) -> None:
    process = processes(spool_bytes=0)

    process.spool_raw(b"[]")

    assert process.posts == Tally(POSTS, received=1, dropped={NOT_SPOOLED: 1})


def test_batches_of_a_post_take_its_place_on_disk(processes: Processes) -> None:
    processes().spool_raw(LONG_POST, post(event("function", "the end")))
    process = processes()

    replay_all(process)

    assert (process.in_memory, process.on_disk) == ([], [*LONG, "the end"])
    assert process.posts == Tally(POSTS, restored=2, delivered=2)
    assert process.spool.used_bytes == 0


def test_batches_keep_within_the_limits_of_a_request(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    process = processes(settings={"BATCH_ITEMS": "700"})

    replay_all(process)

    items = []
    while entry := process.spool.take(LOGS):
        items.append(entry.batch.items)
        process.spool.remove(entry)
    assert (sum(items), max(items)) == (2_000, 700)


class Killed(BaseException):
    """Stands for the end of the process."""


class KilledAfterConversion(Converter):
    def convert_spooled(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        result = super().convert_spooled(body, observed_ns, at)
        if result.next_at >= len(body):
            raise Killed
        return result


def test_process_that_is_killed_while_replaying_loses_nothing(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    with pytest.raises(Killed):
        replay_all(processes(kind=KilledAfterConversion))
    process = processes()

    replay_all(process)

    assert process.on_disk == LONG


def test_post_that_there_is_no_time_for_stays_on_disk_whole(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    process = processes()
    process.intake.restore()

    process.shut_down(0.0, "spindown")
    process.intake.replay_next()

    assert not process.intake.has_replay
    assert process.posts == Tally(POSTS, restored=1, spooled=1)
    assert (process.in_memory, process.on_disk) == ([], [])


def test_batches_that_the_disk_has_no_room_for_stay_in_memory(processes: Processes) -> None:
    other = post(event("function", "other"))
    first = processes()
    first.spool_raw(LONG_POST, other)
    process = processes(spool_bytes=first.spool.used_bytes)

    replay_all(process)

    assert (process.in_memory, process.on_disk) == (LONG, ["other"])
    assert process.posts == Tally(POSTS, restored=2, delivered=2)
    assert process.ledger.snapshot().of(LOGS).received == len(LONG) + 1


def test_batches_that_the_disk_refuses_stay_in_memory(processes: Processes) -> None:
    processes().spool_raw(post(event("function", "a line")))
    process = processes(left_free_bytes=1 << 60)

    replay_all(process)

    assert process.in_memory == ["a line"]
    assert process.posts == Tally(POSTS, restored=1, delivered=1)


def test_at_the_last_chance_batches_stay_in_memory(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    process = processes()

    process.shut_down(2.0, "spindown")
    for _ in range(3):
        process.intake.replay_next()

    assert (process.in_memory, process.on_disk) == (LONG, [])
    assert process.posts == Tally(POSTS, restored=1, delivered=1)


def test_damaged_file_costs_itself(processes: Processes, tmp_path: Path) -> None:
    processes().spool_raw(post(event("function", "lost")), post(event("function", "kept")))
    with open(sorted(tmp_path.iterdir())[0], "r+b") as file:
        file.seek(-5, 2)
        file.write(b"?????")
    process = processes()

    replay_all(process)

    assert process.on_disk == ["kept"]
    assert process.posts == Tally(POSTS, restored=2, delivered=1, dropped={SPOOL_DAMAGED: 1})


def test_missing_files_end_the_replay(processes: Processes, tmp_path: Path) -> None:
    processes().spool_raw(b"[]")
    process = processes()
    process.intake.restore()
    for path in tmp_path.iterdir():
        path.unlink()

    had_replay = process.intake.has_replay
    process.intake.replay_next()

    assert (had_replay, process.intake.has_replay) == (True, False)


class FailingAtReplay(Converter):
    def convert_spooled(self, *_: object) -> ConversionResult:
        raise RuntimeError("broken on purpose")


def test_post_that_the_conversion_fails_on_is_not_replayed_again(processes: Processes) -> None:
    processes().spool_raw(post(event("function", "a line")))
    process = processes(kind=FailingAtReplay)

    replay_all(process)

    assert process.posts == Tally(POSTS, restored=1, dropped={"failed with RuntimeError": 1})
    assert processes().posts == Tally(POSTS)


def test_small_posts_that_there_is_no_time_to_convert_are_spooled_together(processes: Processes) -> None:
    process = processes(cpu_share=SMALL_CPU_SHARE)
    process.intake.shut_down(ShutdownEvent("failure", Deadline.after(0.0, process.clock)))
    for _ in range(3):
        process.intake.postpone([body(SHORT_POST)])
    process.intake.postpone([body(b" " * POSTS_BYTES)])

    for _ in process.intake.convert_next(1, may_replay=False):
        pass

    assert process.posts.spooled == 3
    assert process.intake.has_backlog


class SlowDisk(FakeClock):
    """A clock for which each file takes 4 ms, as with 7 % of a CPU."""

    def unix_ns(self) -> int:
        self.advance(0.004)
        return super().unix_ns()


def test_hundreds_of_small_posts_are_spooled_in_the_time_of_a_few_files(processes: Processes) -> None:
    process = processes(clock=SlowDisk())
    posts = [body(post(event("function", f"line {number}"))) for number in range(500)]

    process.intake.spool_backlog(Deadline.after(0.1, process.clock), posts, between=lambda: None)

    assert process.posts == Tally(POSTS, received=500, spooled=500)
    following = processes()
    replay_all(following)
    assert following.posts == Tally(POSTS, restored=500, delivered=500)
    assert following.on_disk == [f"line {number}" for number in range(500)]


def test_posts_beyond_the_backlog_are_spooled_in_few_files(processes: Processes, tmp_path: Path) -> None:
    process = processes(spool_bytes=40 * MB)
    process.intake.postpone([body(b" " * 16 * MB), body(b" " * MB)])

    process.intake.postpone([body(post(event("function", f"line {number}"))) for number in range(500)])

    assert process.posts == Tally(POSTS, received=501, spooled=501)
    assert len(list(tmp_path.glob("*-posts-*"))) == 2


def test_posts_for_which_there_is_no_memory_to_spool_are_still_held(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = processes(spool_bytes=40 * MB)
    process.intake.postpone([body(b" " * 16 * MB), body(b" " * 777_216)])
    posts = [body(post(event("function", f"line {number}"))) for number in range(100)]
    monkeypatch.setattr("telemetry_forwarder.worker.replay.batches_of_posts", without_memory)

    with pytest.raises(MemoryError):
        process.intake.postpone(posts)

    monkeypatch.undo()
    assert (process.intake.pending_posts, process.posts) == (102, Tally(POSTS))
    process.intake.spool_backlog(Deadline.after(5.0, process.clock), between=lambda: None)
    assert process.posts == Tally(POSTS, received=102, spooled=102)


def without_memory(*_: object) -> None:
    raise MemoryError


def test_post_for_which_only_the_time_to_spool_is_left_waits_for_the_others(processes: Processes) -> None:
    process = processes()
    process.intake.shut_down(ShutdownEvent("failure", Deadline.after(0.0, process.clock)))
    process.intake.postpone([body(SHORT_POST)])
    list(process.intake.convert_next(1, may_replay=False))

    process.intake.postpone([body(SHORT_POST)])

    assert process.posts.spooled == 1
    process.intake.spool_backlog(Deadline.after(1.0, process.clock), between=lambda: None)
    assert process.posts.spooled == 2


def test_backlog_is_spooled_in_parts_and_all_is_in_its_place_between_them(
    tmp_path: Path, captured: CapturedLog
) -> None:
    process = Process(tmp_path, captured, spool_bytes=8 * POSTS_BYTES)
    deadline = Deadline.after(1.0, process.clock)
    posts = [
        Body(post(event("function", f"line {number}")).ljust(POSTS_BYTES // 32), OBSERVED_NS) for number in range(40)
    ]
    places = []

    def take_over() -> None:
        places.append((process.posts.spooled, process.intake.pending_posts))
        if len(places) == 1:
            raise OwnershipLost

    with pytest.raises(OwnershipLost):
        process.intake.spool_backlog(deadline, posts, between=take_over)
    process.intake.spool_backlog(deadline, between=take_over)

    assert places == [(32, 8), (40, 0)]
