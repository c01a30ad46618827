import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.spool_format import POSTS_BYTES
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import POSTS
from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent, SubscriptionResult
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.startup.warm_up import WarmUp
from telemetry_forwarder.worker.thread import Worker
from tests.support import broken
from tests.support.addresses import unresponsive
from tests.support.captured_log import CapturedLog
from tests.support.posts import OBSERVED_NS, event, post
from tests.support.spooling import LONG_POST
from tests.support.thread_limit import no_thread_starts
from tests.support.waiting import wait_until

# So long that only a hang exceeds it.
LONG_S = 30.0
ENDPOINT = {PREFIX + "ENDPOINT": "http://127.0.0.1:1"}
STOPPED = "ERROR forwarding stopped: RuntimeError: broken on purpose; invocations continue without it"

Make = Callable[..., Worker]


@pytest.fixture
def make(captured: CapturedLog, tmp_path: Path) -> Make:
    def make(
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        warm_up: WarmUp | None = None,
        **others: str,
    ) -> Worker:
        ours = {**ENDPOINT, PREFIX + "SPOOL_DIR": str(tmp_path)}
        ours |= {PREFIX + name: value for name, value in others.items()}
        clock = clock or Clock()
        settings = Settings(ours)
        environ = ours if environ is None else environ
        log = captured.diagnostics(clock)
        return Worker(settings, environ, b"{}", clock=clock, log=log, warm_up=warm_up or WarmUp({}))

    return make


def invoked(clock: Clock) -> InvokeEvent:
    return InvokeEvent("id", "arn", "", Deadline.after(LONG_S, clock))


def shut_down(clock: Clock) -> ShutdownEvent:
    return ShutdownEvent("spindown", Deadline.after(LONG_S, clock))


def test_worker_runs_from_start_to_shutdown(make: Make, captured: CapturedLog) -> None:
    worker, clock = make(), Clock()
    worker.inbox.put_event(SubscriptionResult(False))
    worker.start()
    assert worker.is_warm.wait(LONG_S)

    worker.put_event(invocation := invoked(clock))
    assert invocation.released.wait(LONG_S)
    worker.put_event(end := shut_down(clock))

    assert end.done.wait(LONG_S)
    assert [line for line in captured.lines if "ERROR" in line] == []


def test_no_event_waits_while_the_endpoints_are_checked(make: Make, captured: CapturedLog) -> None:
    with unresponsive() as port:
        worker, clock = make(CHECK="true", ENDPOINT=f"http://127.0.0.1:{port}"), Clock()
        worker.inbox.put_event(SubscriptionResult(False))
        worker.start()
        assert worker.is_warm.wait(LONG_S)
        wait_until(lambda: any("check of logs: DNS" in line for line in captured.lines))

        worker.put_event(invocation := invoked(clock))
        worker.put_event(end := shut_down(clock))

        assert invocation.released.wait(LONG_S)
        assert end.done.wait(LONG_S)
        # It still waits for the connection.
        assert [line for line in captured.lines if "check of" in line] == [
            "INFO check of logs: DNS: 127.0.0.1 is an address."
        ]
    # Its line goes to a file of this test.
    for thread in threading.enumerate():
        if thread.name == "check":
            thread.join()


def test_endpoints_are_not_checked_unless_that_is_set(make: Make, captured: CapturedLog) -> None:
    worker, clock = make(), Clock()
    worker.start()
    assert worker.is_warm.wait(LONG_S)
    worker.put_event(end := shut_down(clock))

    assert end.done.wait(LONG_S)
    assert [line for line in captured.lines if "check of" in line] == []


def test_check_for_which_there_is_no_thread_is_one_line(make: Make, captured: CapturedLog) -> None:
    worker, clock = make(CHECK="true"), Clock()
    worker.inbox.put_event(SubscriptionResult(False))
    worker.put_event(end := shut_down(clock))
    with no_thread_starts("check"):
        worker.start()
        assert end.done.wait(LONG_S)

    assert [line for line in captured.lines if "check" in line] == [
        "WARN the endpoints are not checked: check: can't start new thread"
    ]


def test_events_before_the_worker_is_warm_wait_for_it(make: Make) -> None:
    worker, clock = make(), Clock()
    worker.inbox.put_event(SubscriptionResult(False))
    worker.put_event(invocation := invoked(clock))
    worker.put_event(end := shut_down(clock))

    worker.start()

    assert invocation.released.wait(LONG_S)
    assert end.done.wait(LONG_S)


def test_inbox_is_closed_after_the_end(make: Make) -> None:
    worker = make()
    worker.inbox.put_event(SubscriptionResult(False))
    worker.start()
    worker.put_event(end := shut_down(Clock()))
    assert end.done.wait(LONG_S)

    worker.inbox.put_body_blocking(Body(b"[]", 0))
    while worker.inbox.put_body(Body(b"[]", 0)):
        pass  # The worker's thread closes it shortly after SHUTDOWN is done.


def test_worker_that_cannot_be_built_releases_every_event_and_counts_posts(make: Make, captured: CapturedLog) -> None:
    worker, clock = make(broken.Environ("AWS_LAMBDA_FUNCTION_NAME", **ENDPOINT)), Clock()

    worker.start()
    assert worker.is_warm.wait(LONG_S)
    for _ in range(2):
        worker.inbox.put_body(Body(b"[]", 0))
        worker.put_event(invocation := invoked(clock))
        assert invocation.released.wait(LONG_S)
    worker.put_event(end := shut_down(clock))

    assert end.done.wait(LONG_S)
    assert captured.lines == [STOPPED, "ERROR 2 posts of telemetry were dropped after that"]


def unreadable(clock: Clock) -> InvokeEvent:
    """Return an event that the forwarder fails at."""
    invocation = invoked(clock)
    del invocation.trace_header
    return invocation


def totals(records: int, posts: str = "", logs: str = "") -> str:
    """Return the last line: the counts of records, posts and logs."""
    others = "; ".join(f"{signal} {NOTHING}" for signal in ("traces", "metrics"))
    return f"INFO records received {records}{posts}; logs {logs or NOTHING}; {others}"


def stored(folder: Path) -> list[str]:
    """Return the kinds of the batches on disk, and that of posts for each."""
    names = [path.name.split("-") for path in folder.rglob("*.batch")]
    return sorted(kind for _, _, _, kind, items, *_ in names for _ in range(int(items) if kind == POSTS else 1))


def test_posts_after_a_failure_to_build_the_forwarder_are_stored_as_received(
    make: Make, captured: CapturedLog, tmp_path: Path
) -> None:
    worker, clock = make(broken.Environ("AWS_LAMBDA_INITIALIZATION_TYPE", **ENDPOINT)), Clock()
    put_posts(worker, 1)

    worker.start()
    for number in range(2):
        worker.put_event(invocation := invoked(clock))
        assert invocation.released.wait(LONG_S)
        put_posts(worker, 1, first=number + 1)
    worker.shut_down(end := shut_down(clock))

    assert end.done.is_set()
    assert captured.lines == [STOPPED, totals(0, " posts spooled 3")]
    assert stored(tmp_path) == ["posts"] * 3
    assert not worker.inbox.put_body(Body(b"[]", 0))


@pytest.mark.parametrize(
    ("spool_bytes", "fate"), [("67108864", " posts spooled 3"), ("0", " posts dropped 3 (not spooled 3)")]
)
def test_what_is_held_and_posted_when_the_forwarder_fails_is_stored_or_counted(
    make: Make, captured: CapturedLog, tmp_path: Path, spool_bytes: str, fate: str
) -> None:
    worker, clock = make(SPOOL_BYTES=spool_bytes), Clock()
    worker.put_event(invocation := unreadable(clock))
    put_posts(worker, 1)
    worker.start()
    assert invocation.released.wait(LONG_S)

    put_posts(worker, 2, first=1)
    worker.shut_down(shut_down(clock))

    stopped, last = captured.lines
    assert stopped.startswith("ERROR forwarding stopped: AttributeError")
    assert last == totals(0, fate)
    assert stored(tmp_path) == ["posts"] * 3 * (spool_bytes != "0")


def test_posts_after_a_failure_replace_the_oldest_if_the_spool_is_full(
    make: Make, captured: CapturedLog, tmp_path: Path
) -> None:
    # Two files with their heads.
    worker, clock = make(SPOOL_BYTES=str(2 * POSTS_BYTES + 8_192)), Clock()
    worker.put_event(invocation := unreadable(clock))
    worker.start()
    assert invocation.released.wait(LONG_S)

    put_posts(worker, 5, size_bytes=POSTS_BYTES)
    worker.shut_down(shut_down(clock))

    assert captured.lines[-1] == totals(0, " posts dropped 3 (spool full 3) posts spooled 2")
    assert stored(tmp_path) == ["posts"] * 2


def test_worker_that_fails_after_the_main_thread_has_taken_over_changes_nothing(
    make: Make, captured: CapturedLog
) -> None:
    warm_up = LongWarmUp()
    worker = make(broken.Environ("AWS_LAMBDA_INITIALIZATION_TYPE", **ENDPOINT), warm_up=warm_up)
    put_posts(worker, 1)
    worker.start()

    worker.shut_down(soon(Clock()))
    lines = captured.lines
    warm_up.end()

    assert worker.has_returned.wait(LONG_S)
    assert lines == [EARLY, totals(0, " posts spooled 1")]
    assert captured.lines == [*lines, STOPPED]


def test_without_dropped_posts_no_count_is_logged(make: Make, captured: CapturedLog) -> None:
    worker = make(broken.Environ("AWS_LAMBDA_FUNCTION_NAME", **ENDPOINT))

    worker.start()
    worker.put_event(end := shut_down(Clock()))

    assert end.done.wait(LONG_S)
    assert captured.lines == [STOPPED]


def test_invocation_is_released_if_the_forwarder_fails(make: Make, captured: CapturedLog) -> None:
    clock = broken.WorkersClock()
    worker = make(clock=clock)
    worker.start()
    assert worker.is_warm.wait(LONG_S)

    clock.is_broken = True
    worker.put_event(invocation := invoked(clock))

    assert invocation.released.wait(LONG_S)
    worker.put_event(end := shut_down(clock))
    assert end.done.wait(LONG_S)
    assert [line for line in captured.lines if "ERROR" in line] == [STOPPED]


def test_no_event_waits_if_the_posts_cannot_be_stored_either(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, clock = make(broken.Environ("AWS_LAMBDA_INITIALIZATION_TYPE", **ENDPOINT)), Clock()
    has_failed = threading.Event()
    monkeypatch.setattr(worker.inbox, "wait", broken.no_memory)
    monkeypatch.setattr(threading, "excepthook", lambda _: has_failed.set())
    worker.put_event(first := invoked(clock))
    worker.start()
    assert first.released.wait(LONG_S)
    assert has_failed.wait(LONG_S)

    worker.put_event(second := invoked(clock))

    assert second.released.is_set()


def test_shutdown_is_done_if_the_forwarder_fails(make: Make, captured: CapturedLog) -> None:
    clock = broken.WorkersClock()
    worker = make(clock=clock)
    worker.inbox.put_event(SubscriptionResult(False))
    worker.start()
    assert worker.is_warm.wait(LONG_S)

    clock.is_broken = True
    worker.put_event(end := shut_down(clock))

    assert end.done.wait(LONG_S)
    assert [line for line in captured.lines if "ERROR" in line] == [STOPPED]


EARLY = "WARN the end came before forwarding was ready; posts are stored as received"
STUCK = "WARN forwarding does not respond; what is held is stored"
LOST = "WARN the end came during a conversion: spans and metrics that were not made yet are lost"
NOTHING = "received 0 delivered 0 dropped 0 held 0 spooled 0"


class LongWarmUp(WarmUp):
    """A warm-up that lasts until `end`, as without CPU."""

    def __init__(self) -> None:
        super().__init__({})
        self._has_ended = threading.Event()

    def wait(self) -> None:
        self._has_ended.wait()
        super().wait()

    def end(self) -> None:
        self._has_ended.set()


def soon(clock: Clock) -> ShutdownEvent:
    """Return a SHUTDOWN whose deadline is so near that the main thread waits for the least time."""
    return ShutdownEvent("timeout", Deadline.after(0.06, clock))


def put_posts(worker: Worker, number: int, *, first: int = 0, size_bytes: int = 0) -> None:
    for each in range(first, first + number):
        assert worker.inbox.put_body(Body(post(event("function", f"line {each}")).ljust(size_bytes), 0))


@pytest.mark.parametrize("is_started", [True, False])
def test_posts_are_stored_if_shutdown_comes_before_the_worker_is_ready(
    make: Make, captured: CapturedLog, tmp_path: Path, is_started: bool
) -> None:
    worker = make(warm_up=(warm_up := LongWarmUp()))
    put_posts(worker, 2)
    if is_started:
        worker.start()

    worker.shut_down(soon(Clock()))

    lines = [EARLY, totals(0, " posts spooled 2")]
    assert captured.lines == lines
    assert not worker.inbox.put_body(Body(b"[]", 0))
    # The worker leaves what the main thread has taken over.
    warm_up.end()
    worker.start()
    assert worker.has_returned.wait(LONG_S)
    assert captured.lines == lines
    assert stored(tmp_path) == ["posts"] * 2


def test_posts_that_cannot_be_stored_early_are_counted(make: Make, captured: CapturedLog, tmp_path: Path) -> None:
    worker = make(warm_up=LongWarmUp())
    (tmp_path / "telemetry-forwarder").write_text("no folder")
    put_posts(worker, 3)

    worker.shut_down(soon(Clock()))

    assert captured.lines[-1].startswith("INFO records received 0 posts dropped 3 (not spooled 3); logs received 0")


def test_worker_that_is_ready_in_time_finishes_by_itself(make: Make, captured: CapturedLog) -> None:
    worker = make(warm_up=(warm_up := LongWarmUp()))
    worker.inbox.put_event(SubscriptionResult(True))
    put_posts(worker, 1)
    worker.start()
    warm_up.end()

    worker.shut_down(end := shut_down(Clock()))

    assert end.done.is_set()
    assert [line for line in captured.lines if line in (EARLY, STUCK)] == []
    assert captured.lines[-1].startswith(
        "INFO records received 1; logs received 1 delivered 0 dropped 0 held 0 spooled 1"
    )


class SlowBody(Body):
    """A post whose conversion lasts until `go_on`, as without CPU: that of its *at_slice*th slice."""

    __slots__ = ("_goes_on", "_slices_left", "has_begun")

    def __init__(self, content: bytes, at_slice: int = 1) -> None:
        self.content = content
        self.at = 0
        self._slices_left = at_slice
        self.has_begun = threading.Event()
        self._goes_on = threading.Event()

    @property
    def observed_ns(self) -> int:  # type: ignore[override]  # read when the conversion of a slice begins
        self._slices_left -= 1
        if self._slices_left == 0:
            self.has_begun.set()
            self._goes_on.wait()
        return OBSERVED_NS

    def go_on(self) -> None:
        self._goes_on.set()


# The main thread waits for a second in these.
@pytest.mark.parametrize(
    ("at_slice", "converted", "batches"), [(1, 0, ["posts"] * 3), (2, 738, ["logs"] + ["posts"] * 3)]
)
def test_main_thread_stores_what_a_worker_holds_that_does_not_respond(
    make: Make, captured: CapturedLog, tmp_path: Path, at_slice: int, converted: int, batches: list[str]
) -> None:
    worker, clock = make(), Clock()
    worker.inbox.put_event(SubscriptionResult(True))
    worker.start()
    assert worker.is_warm.wait(LONG_S)
    worker.inbox.put_body(slow := SlowBody(LONG_POST, at_slice))
    assert slow.has_begun.wait(LONG_S)
    put_posts(worker, 2)

    worker.shut_down(soon(clock))

    logs = f"received {converted} delivered 0 dropped 0 held 0 spooled {converted}"
    lines = [STUCK, LOST, totals(converted, " posts spooled 3", logs)]
    assert captured.lines == lines
    assert stored(tmp_path) == batches
    slow.go_on()
    assert worker.has_returned.wait(LONG_S)
    assert captured.lines == lines
    assert stored(tmp_path) == batches


def stalled_in_a_write(make: Make, tmp_path: Path, clock: broken.StallingClock) -> Worker:
    """Return a worker that stands still while it writes the first of two batches to disk; a post waits."""
    worker = make(clock=clock, OUTBOX_BYTES="65536", BATCH_BYTES="65536")
    worker.inbox.put_event(SubscriptionResult(True))
    worker.start()
    assert worker.is_warm.wait(LONG_S)
    # The folder is created when a write begins.
    clock.is_stalled = (tmp_path / "telemetry-forwarder").exists
    worker.inbox.put_body(Body(post(*[event("function", f"{number} " + "x" * 20_000) for number in range(5)]), 0))
    assert clock.has_stalled.wait(LONG_S)
    put_posts(worker, 1)
    return worker


def test_write_that_ends_in_time_is_counted_once(make: Make, captured: CapturedLog, tmp_path: Path) -> None:
    worker = stalled_in_a_write(make, tmp_path, clock := broken.StallingClock())

    main = threading.Thread(target=worker.shut_down, args=[soon(clock)])
    main.start()
    accepted = [True]
    while accepted[-1]:
        main.join(0.002)
        accepted.append(worker.inbox.put_body(Body(b"[]", 0)))
    clock.go_on()
    main.join()

    assert worker.has_returned.wait(LONG_S)
    # The rest of the post that was being converted, the one that waited, and those that came meanwhile.
    posts = 1 + sum(accepted)
    logs = "received 4 delivered 0 dropped 0 held 0 spooled 4"
    assert captured.lines[-1] == totals(4, f" posts spooled {posts} posts refused for now 1", logs)
    assert Counter(stored(tmp_path)) == {"logs": 2, "posts": posts}


def test_write_that_does_not_end_leaves_what_waits_in_the_totals_as_held(
    make: Make, captured: CapturedLog, tmp_path: Path
) -> None:
    worker = stalled_in_a_write(make, tmp_path, clock := broken.StallingClock())

    worker.shut_down(soon(clock))

    lines = captured.lines
    assert lines[0] == STUCK
    assert lines[-1].startswith("INFO records received 4 posts held 2; logs received 3 delivered 0 dropped 0 held 3")
    clock.go_on()
    assert worker.has_returned.wait(LONG_S)
    assert captured.lines == lines


def test_main_thread_logs_the_totals_if_the_worker_does_not_finish_storing(
    make: Make, captured: CapturedLog, tmp_path: Path
) -> None:
    worker = make(clock=(clock := broken.StallingClock()))
    worker.inbox.put_event(SubscriptionResult(True))
    worker.start()
    assert worker.is_warm.wait(LONG_S)
    put_posts(worker, 1)
    end = soon(clock)
    clock.is_stalled = (tmp_path / "telemetry-forwarder").exists

    worker.shut_down(end)

    lines = captured.lines
    assert clock.has_stalled.is_set()
    assert lines[-1].startswith("INFO records received 0 posts held 1; logs received 0")
    clock.go_on()
    assert worker.has_returned.wait(LONG_S)
    assert captured.lines == lines


class SlowLatch(Latch):
    """A latch that the worker's thread does not set before `go_on`, as if it had no CPU."""

    __slots__ = ("_goes_on",)

    def __init__(self) -> None:
        super().__init__()
        self._goes_on = threading.Event()

    def set(self) -> None:
        self._goes_on.wait()
        super().set()

    def go_on(self) -> None:
        self._goes_on.set()


@pytest.mark.parametrize("fails", [False, True])
def test_no_line_follows_the_totals_of_a_worker_that_is_slow_afterwards(
    make: Make, captured: CapturedLog, fails: bool
) -> None:
    worker = make(broken.Environ("AWS_LAMBDA_INITIALIZATION_TYPE", **ENDPOINT) if fails else None)
    worker.start()
    assert worker.is_warm.wait(LONG_S)
    end = soon(Clock())
    end.done = done = SlowLatch()

    worker.shut_down(end)

    lines = captured.lines
    done.go_on()
    assert worker.has_returned.wait(LONG_S)
    assert lines == [*[STOPPED][: int(fails)], totals(0)]


def test_posts_are_refused_before_the_worker_has_to_store_what_is_held(make: Make, captured: CapturedLog) -> None:
    worker = make(clock=(clock := broken.StallingClock()))
    worker.inbox.put_event(SubscriptionResult(True))
    worker.start()
    assert worker.is_warm.wait(LONG_S)
    clock.is_stalled = lambda: True
    worker.put_event(invoked(clock))
    assert clock.has_stalled.wait(LONG_S)

    main = threading.Thread(target=worker.shut_down, args=[end := ShutdownEvent("", Deadline.after(1.0, clock))])
    main.start()
    wait_until(lambda: not worker.inbox.put_body(Body(b"[]", 0)))

    assert not end.done.is_set()
    clock.go_on()
    main.join()
    assert "posts refused for now" in captured.lines[-1]
