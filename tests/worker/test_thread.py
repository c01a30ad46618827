import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent, SubscriptionResult
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.startup.warm_up import WarmUp
from telemetry_forwarder.worker.thread import Worker
from tests.support import broken
from tests.support.captured_log import CapturedLog
from tests.support.posts import event, post
from tests.support.waiting import wait_until

# So long that only a hang exceeds it.
LONG_S = 30.0
ENDPOINT = {PREFIX + "ENDPOINT": "http://127.0.0.1:1"}
STOPPED = "ERROR forwarding stopped: RuntimeError: broken on purpose; invocations continue without it"

Make = Callable[..., Worker]


@pytest.fixture
def make(captured: CapturedLog, tmp_path: Path) -> Make:
    def make(
        environ: Mapping[str, str] | None = None, clock: Clock | None = None, warm_up: WarmUp | None = None
    ) -> Worker:
        ours = {**ENDPOINT, PREFIX + "SPOOL_DIR": str(tmp_path)}
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


def put_posts(worker: Worker, number: int) -> None:
    for each in range(number):
        assert worker.inbox.put_body(Body(post(event("function", f"line {each}")), 0))


# The main thread waits for a quarter of a second in these.
@pytest.mark.parametrize("is_started", [True, False])
def test_posts_are_stored_if_shutdown_comes_before_the_worker_is_ready(
    make: Make, captured: CapturedLog, tmp_path: Path, is_started: bool
) -> None:
    worker = make(warm_up=(warm_up := LongWarmUp()))
    put_posts(worker, 2)
    if is_started:
        worker.start()

    worker.shut_down(soon(Clock()))

    kinds = "; ".join(f"{signal} {NOTHING}" for signal in ("logs", "traces", "metrics"))
    lines = [EARLY, f"INFO records received 0 posts spooled 2; {kinds}"]
    assert captured.lines == lines
    assert not worker.inbox.put_body(Body(b"[]", 0))
    # The worker leaves what the main thread has claimed.
    warm_up.end()
    worker.start()
    assert worker.has_returned.wait(LONG_S)
    assert captured.lines == lines
    assert len(list(tmp_path.rglob("*.batch"))) == 2


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


def test_main_thread_stores_what_a_worker_holds_that_does_not_respond(make: Make, captured: CapturedLog) -> None:
    worker = make(clock=(clock := broken.StallingClock()))
    worker.inbox.put_event(SubscriptionResult(True))
    worker.start()
    assert worker.is_warm.wait(LONG_S)
    clock.is_stalled = lambda: True
    worker.put_event(invoked(clock))
    assert clock.has_stalled.wait(LONG_S)
    put_posts(worker, 2)

    worker.shut_down(soon(clock))

    assert captured.lines[:1] == [STUCK]
    assert captured.lines[1].startswith("INFO records received 0 posts spooled 2; logs received 0")
    clock.go_on()
    # The main thread has emptied the inbox, for which the worker may wait now.
    worker.inbox.put_event(SubscriptionResult(True))
    assert worker.has_returned.wait(LONG_S)
    assert len(captured.lines) == 2


def test_main_thread_logs_the_totals_if_the_worker_does_not_finish_storing(make: Make, captured: CapturedLog) -> None:
    worker = make(clock=(clock := broken.StallingClock()))
    worker.inbox.put_event(SubscriptionResult(True))
    worker.start()
    assert worker.is_warm.wait(LONG_S)
    put_posts(worker, 1)
    end = soon(clock)
    clock.is_stalled = lambda: end.is_claimed

    worker.shut_down(end)

    totals = captured.lines
    assert clock.has_stalled.is_set()
    assert [line.partition(";")[0] for line in totals][-1].startswith("INFO records received ")
    clock.go_on()
    assert end.done.wait(LONG_S)
    assert worker.has_returned.wait(LONG_S)
    assert captured.lines == totals


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

    assert not end.is_claimed
    clock.go_on()
    main.join()
    assert "posts refused for now" in captured.lines[-1]
