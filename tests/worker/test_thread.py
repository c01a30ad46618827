from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent, SubscriptionResult
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.startup.warm_up import WarmUp
from telemetry_forwarder.worker.thread import Worker
from tests.support import broken
from tests.support.captured_log import CapturedLog

# So long that only a hang exceeds it.
LONG_S = 30.0
ENDPOINT = {PREFIX + "ENDPOINT": "http://127.0.0.1:1"}
STOPPED = "ERROR forwarding stopped: RuntimeError: broken on purpose; invocations continue without it"

Make = Callable[..., Worker]


@pytest.fixture
def captured() -> Iterator[CapturedLog]:
    with CapturedLog() as captured:
        yield captured


@pytest.fixture
def make(captured: CapturedLog, tmp_path: Path) -> Make:
    def make(environ: Mapping[str, str] | None = None, clock: Clock | None = None) -> Worker:
        ours = {**ENDPOINT, PREFIX + "SPOOL_DIR": str(tmp_path)}
        clock = clock or Clock()
        settings = Settings(ours)
        environ = ours if environ is None else environ
        return Worker(settings, environ, b"{}", clock=clock, log=captured.diagnostics(clock), warm_up=WarmUp({}))

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
