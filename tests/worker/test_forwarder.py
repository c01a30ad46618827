"""The worker's loop between a real inbox and a real OTLP receiver, in a thread of the test."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Tally
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import POSTS
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.export.exporter import Exporters
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent, SubscriptionResult
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.worker.forwarder import Forwarder
from telemetry_forwarder.worker.wiring import build_forwarder
from tests.support import collector as c
from tests.support.captured_log import CapturedLog
from tests.support.collector import FakeCollector
from tests.support.fake_clock import FakeClock
from tests.support.forwarders import forwarder_of
from tests.support.otlp_messages import attributes
from tests.support.posts import MOMENT, OBSERVED_NS, event, post
from tests.support.spooling import MB
from tests.support.spooling import Process as SpoolingProcess
from tests.support.waiting import wait_until

# So long that only a hang exceeds it.
LONG_S = 30.0
INBOX_BYTES = 16_000_000
ID = "8286a188-ba32-4475-8077-530cd35c09a9"


class Process:
    """One process: a forwarder from its start to SHUTDOWN."""

    def __init__(self, captured: CapturedLog, environ: dict[str, str], clock: Clock) -> None:
        self.clock = clock
        self.captured = captured
        self.inbox = Inbox(INBOX_BYTES)
        self.forwarder: Forwarder = build_forwarder(
            Settings(environ),
            environ,
            b"{}",
            inbox=self.inbox,
            ownership=Ownership(),
            clock=self.clock,
            log=captured.diagnostics(self.clock),
        )
        self.failure: Exception | None = None
        self.is_warm = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self, *, has_telemetry: bool = True) -> None:
        self.inbox.put_event(SubscriptionResult(has_telemetry))
        self._thread.start()

    def _run(self) -> None:
        try:
            self.forwarder.run(on_warm=self.is_warm.set)
        except Exception as exc:  # noqa: BLE001
            self.failure = exc

    def log(self, *lines: str, type_: str = "function") -> None:
        self.posts(*[event(type_, line) for line in lines])

    def posts(self, *events: object) -> None:
        self.inbox.put_body(Body(post(*events), self.clock.unix_ns()))

    def invoke(self, request_id: str = ID) -> InvokeEvent:
        invoked = InvokeEvent(request_id, "arn", "", Deadline.after(LONG_S, self.clock))
        self.inbox.put_event(invoked)
        return invoked

    def ends(self, request_id: str = ID) -> None:
        self.posts(event("platform.runtimeDone", {"requestId": request_id, "status": "success"}))

    def reports(self, request_id: str = ID) -> None:
        phase = {"name": "extensionOverhead", "start": MOMENT, "durationMs": 1.5}
        record = {"requestId": request_id, "status": "success", "metrics": {}, "spans": [phase]}
        self.posts(event("platform.report", record))

    def announce(self, reason: str, seconds: float = LONG_S) -> ShutdownEvent:
        """Send SHUTDOWN."""
        end = ShutdownEvent(reason, Deadline.after(seconds, self.clock))
        self.forwarder.limit_work_to_shutdown(end)
        self.inbox.put_event(end)
        return end

    def shut_down(self, reason: str = "spindown", seconds: float = LONG_S) -> None:
        """Send SHUTDOWN and block until it is processed."""
        assert self.announce(reason, seconds).done.wait(LONG_S)
        self.join()

    def expedite(self, seconds: float) -> None:
        """Announce a SHUTDOWN that leaves *seconds*, as the main thread does before the inbox holds the event."""
        deadline = Deadline.after(seconds, self.clock)
        self.forwarder.limit_work_to_shutdown(ShutdownEvent("timeout", deadline))

    def join(self) -> None:
        self._thread.join(LONG_S)
        assert not self._thread.is_alive()

    @property
    def accounts(self) -> str:
        """The records and the logs in the last log line."""
        (line,) = [line for line in self.captured.lines if line.startswith("INFO records received")]
        return "; ".join(line.removeprefix("INFO ").split("; ")[:2])


class Interrupted(Body):
    """A body during whose conversion *action* is called."""

    __slots__ = ("_action",)

    def __init__(self, content: bytes, action: Callable[[], object]) -> None:
        self.content = content
        self.at = 0
        self._action = action

    @property
    def observed_ns(self) -> int:  # type: ignore[override]  # read when the conversion begins
        self._action()
        return OBSERVED_NS


Make = Callable[..., Process]


@pytest.fixture
def make(collector: FakeCollector, tmp_path: Path) -> Iterator[Make]:
    with CapturedLog() as first, CapturedLog() as second:
        unused = [second, first]
        processes = []

        def make(clock: Clock | None = None, **settings: str) -> Process:
            ours = {
                "ENDPOINT": collector.endpoint,
                "SPOOL_DIR": str(tmp_path / "telemetry-forwarder"),
                "FLUSH": "end",
                "FLUSH_BUDGET_MS": "5000",
                "LOG_LEVEL": "debug",
            }
            environ = {PREFIX + name: value for name, value in (ours | settings).items()}
            # With less than a whole CPU there may be too little time for a large post.
            environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = "1769"
            processes.append(Process(unused.pop(), environ, clock or Clock()))
            return processes[-1]

        yield make
        for process in processes:
            process.forwarder.flusher.exporters.close()


def lines(collector: FakeCollector) -> list[str]:
    return [record.body.string_value for _, _, record in collector.logs()]


def files(tmp_path: Path) -> list[str]:
    folder = tmp_path / "telemetry-forwarder"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_end_of_an_invocation_is_delivered_before_it_is_released(make: Make, collector: FakeCollector) -> None:
    process = make()
    process.start()

    invoked = process.invoke()
    process.log("first")
    process.ends()

    assert invoked.released.wait(LONG_S)
    assert lines(collector) == ["first"]
    assert [span.name for _, _, span in collector.spans()] != []
    process.reports()
    process.shut_down()


def test_end_that_arrived_before_invoke_is_not_waited_for(make: Make) -> None:
    process = make()
    process.ends()
    process.start()

    assert process.invoke().released.wait(LONG_S)
    process.reports()
    process.shut_down()


def test_without_telemetry_no_invocation_is_withheld(make: Make) -> None:
    process = make()
    process.start(has_telemetry=False)

    assert process.invoke().released.wait(LONG_S)
    process.shut_down()


def test_invocation_is_released_while_the_endpoint_hangs_and_the_flush_continues(
    make: Make, collector: FakeCollector
) -> None:
    hang = c.Hang()
    collector.script(then=hang)
    process = make(FLUSH_BUDGET_MS="50")
    process.start()

    first = process.invoke("first")
    process.log("a line")
    process.ends("first")
    assert first.released.wait(LONG_S)
    second = process.invoke("second")
    assert second.released.wait(LONG_S)
    hang.until.set()
    process.reports("second")
    process.shut_down()

    assert lines(collector) == ["a line"]
    assert process.accounts == "records received 3; logs received 1 delivered 1 dropped 0 held 0 spooled 0" + (
        " filtered 2 (in spans and metrics 2)"
    )


def test_limit_of_an_invocation_is_corrected_when_the_clock_turns_out_to_be_slow(
    make: Make, collector: FakeCollector
) -> None:
    hang = c.Hang()
    collector.script(then=hang)
    process = make(FLUSH_BUDGET_MS="60000")
    process.start()
    invoked = process.invoke()

    by_lambdas_clock = datetime.fromtimestamp(time.time() + LONG_S - 1.0, UTC).isoformat(timespec="milliseconds")
    end = event("platform.runtimeDone", {"requestId": ID, "status": "success"}, by_lambdas_clock)
    process.posts(event("function", "a line"), end)

    # The limit is a second away; otherwise it would be that of the flush, 10 s.
    assert invoked.released.wait(5.0)
    hang.until.set()
    process.shut_down()


def test_post_that_lambda_sends_twice_is_delivered_once(make: Make, collector: FakeCollector) -> None:
    process = make()
    process.start()

    for _ in range(3):
        process.log("once")
    process.shut_down()

    assert lines(collector) == ["once"]
    assert process.accounts.startswith("records received 1 duplicate posts 2; ")


def test_refused_post_is_counted(make: Make, collector: FakeCollector) -> None:
    process = make()
    process.inbox.put_body(Body(b"[" + b" " * INBOX_BYTES + b"]", OBSERVED_NS))
    again = Body(post(event("function", "again")), OBSERVED_NS)

    assert not process.inbox.put_body(again)
    process.start()
    process.inbox.put_body_blocking(again)
    process.shut_down()

    assert lines(collector) == ["again"]
    assert process.accounts.startswith("records received 1 posts refused for now 1; ")


def test_over_tcp_no_chunk_is_a_duplicate(make: Make, collector: FakeCollector) -> None:
    process = make(LISTENER="tcp")
    process.start()

    for _ in range(2):
        process.log("twice")
    process.shut_down()

    assert lines(collector) == ["twice", "twice"]


def test_post_that_the_conversion_fails_on_costs_itself(make: Make, collector: FakeCollector) -> None:
    process = make(LISTENER="tcp")
    process.start()

    process.inbox.put_body(Interrupted(b"[]", fail))
    process.log("after it")
    process.shut_down()

    assert lines(collector) == ["after it"]
    assert process.accounts.startswith("records received 1 posts dropped 1 (conversion failed 1); ")
    assert [line for line in process.captured.lines if "WARN" in line] == [
        "WARN the rest of a post was dropped: RuntimeError: broken on purpose"
    ]


def fail() -> None:
    raise RuntimeError("broken on purpose")


def test_undelivered_telemetry_is_delivered_by_the_next_process(make: Make, collector: FakeCollector) -> None:
    first = make(FLUSH="shutdown")
    with collector.refusing():
        first.start()
        first.log("of the first process")
        first.shut_down("timeout", 1.0)
    second = make()
    second.start()
    second.log("of the second")
    second.shut_down()

    assert lines(collector) == ["of the first process", "of the second"]
    assert first.accounts.endswith("logs received 1 delivered 0 dropped 0 held 0 spooled 1")
    assert second.accounts.endswith("logs received 1 restored 1 delivered 2 dropped 0 held 0 spooled 0")


def test_telemetry_that_neither_endpoint_nor_disk_accepts_is_counted(make: Make, collector: FakeCollector) -> None:
    process = make(SPOOL_BYTES="0")
    with collector.refusing():
        process.start()
        process.log("nowhere to go")
        process.shut_down("spindown", 1.0)

    assert process.accounts.endswith("logs received 1 delivered 0 dropped 1 (not spooled 1) held 0 spooled 0")


@pytest.mark.parametrize(("reason", "is_delivered"), [("Spindown", True), ("timeout", False), ("failure", False)])
def test_failing_endpoint_is_tried_once_more_if_the_disk_is_about_to_be_deleted(
    make: Make, collector: FakeCollector, tmp_path: Path, reason: str, is_delivered: bool
) -> None:
    process = make()
    collector.script(*[c.Response(status=503, headers={"Retry-After": "60"})] * 3)
    process.start()
    invoked = process.invoke()
    process.log("a line")
    process.ends()
    assert invoked.released.wait(LONG_S)
    collector.wait_for(lambda: len(collector.requests) == 3, LONG_S)

    process.reports()
    process.shut_down(reason)

    assert (lines(collector) == ["a line"]) is is_delivered
    assert (files(tmp_path) == []) is is_delivered


def test_full_outbox_is_spooled(make: Make, collector: FakeCollector, tmp_path: Path) -> None:
    process = make(OUTBOX_BYTES="65536", FLUSH="shutdown")
    with collector.refusing():
        process.start()
        for number in range(20):
            process.log(f"{number} " + "x" * 10_000)
        process.shut_down("timeout", 1.0)

    assert len(files(tmp_path)) > 1
    assert "logs received 20 delivered 0 dropped 0 held 0 spooled 20" in process.accounts


@pytest.mark.parametrize(
    ("spool_bytes", "fate"),
    [("67108864", "dropped 0 held 0 spooled 10"), ("0", "dropped 10 (larger than the outbox 10) held 0 spooled 0")],
)
def test_batch_larger_than_the_outbox_is_spooled_or_counted(
    make: Make, collector: FakeCollector, spool_bytes: str, fate: str
) -> None:
    process = make(OUTBOX_BYTES="65536", FLUSH="shutdown", SPOOL_BYTES=spool_bytes)
    with collector.refusing():
        process.start()
        process.log(*[f"{number} " + "x" * 100_000 for number in range(10)])
        process.shut_down("timeout", 1.0)

    assert process.accounts.endswith(f"logs received 10 delivered 0 {fate}")


def test_post_that_there_is_no_time_to_convert_is_converted_by_the_next_process(
    make: Make, collector: FakeCollector, tmp_path: Path
) -> None:
    first = make()
    first.log("a line")
    first.expedite(0.0)
    first.inbox.put_event(ShutdownEvent("timeout", Deadline.after(LONG_S, first.clock)))
    first.start()
    first.join()

    second = make()
    second.start()
    # Spooled posts are replayed while init waits for the worker.
    assert second.is_warm.wait(LONG_S)
    assert not any("-posts-" in name for name in files(tmp_path))
    second.shut_down()

    assert lines(collector) == ["a line"]
    assert first.accounts.startswith("records received 0 posts spooled 1; ")
    assert second.accounts.startswith("records received 1 posts restored 1; ")


def test_interrupted_invocation_has_a_span_even_if_posts_are_pending_at_shutdown(
    make: Make, collector: FakeCollector
) -> None:
    process = make(SPOOL_BYTES="0")
    process.invoke()
    process.posts(event("platform.start", {"requestId": ID, "version": "7"}))
    for begin in range(0, 6_000, 2_000):
        process.log(*[f"a line {number}" for number in range(begin, begin + 2_000)])
    process.announce("spindown")

    process.start()
    process.join()

    assert len(lines(collector)) == 6_000
    assert [span.kind == span.SPAN_KIND_SERVER for _, _, span in collector.spans()] == [True]


@pytest.mark.parametrize(
    ("reason", "status", "counter"),
    [
        ("spindown", None, "faas.invocations"),
        ("timeout", "timeout", "faas.timeouts"),
        ("failure", "error", "faas.errors"),
    ],
)
def test_what_shutdown_ends_is_sent_although_nothing_else_is_held(
    make: Make, collector: FakeCollector, tmp_path: Path, reason: str, status: str | None, counter: str
) -> None:
    """The invocation has begun and its logs are delivered, but its end is never reported."""
    process = make(PLATFORM_LOGS="none")
    process.start()
    process.invoke("the first one")
    process.posts(event("platform.start", {"requestId": ID, "version": "7"}), event("function", "a line"))
    process.ends("the first one")
    wait_until(lambda: len(lines(collector)) == 1 and len(collector.metrics()) > 0)
    sent = len(collector.metrics())

    process.shut_down(reason)

    [span] = [span for _, _, span in collector.spans() if attributes(span.attributes)["faas.invocation_id"] == ID]
    assert attributes(span.attributes).get("lambda.status") == status
    assert counter in {metric.name for _, _, metric in collector.metrics()[sent:]}
    assert files(tmp_path) == []


def test_fragment_that_shutdown_gives_up_waiting_for_is_sent(make: Make, collector: FakeCollector) -> None:
    process = make(PLATFORM_LOGS="none")
    process.start()
    whole = post(event("function", "a line " * 100))
    process.inbox.put_body(Body(whole[:300], process.clock.unix_ns()))
    process.invoke()
    process.ends()
    wait_until(lambda: len(collector.metrics()) > 0)

    process.shut_down()

    assert ["a line a line" in line for line in lines(collector)] == [True]


def test_last_self_metrics_are_sent_although_nothing_else_is_held(make: Make, collector: FakeCollector) -> None:
    process = make()
    process.start()
    invoked = process.invoke()
    process.log("a line")
    process.reports()
    process.ends()
    # Everything is delivered then, and counted.
    assert invoked.released.wait(LONG_S)

    process.shut_down()

    assert "otel.sdk.exporter.log.exported" in {metric.name for _, _, metric in collector.metrics()}


def test_end_that_arrives_after_shutdown_counts(make: Make, collector: FakeCollector) -> None:
    # The time for which the report is awaited does not pass.
    process = make(FakeClock(), FLUSH="shutdown")
    process.start()
    process.invoke()
    process.posts(event("platform.start", {"requestId": ID, "version": "7"}), event("function", "a line"))
    end = process.announce("timeout")
    wait_until(lambda: len(lines(collector)) == 1)
    process.ends()
    process.reports()
    assert end.done.wait(LONG_S)
    process.join()

    (_, _, span), _ = collector.spans()
    assert attributes(span.attributes)["lambda.status"] == "success"


def test_rest_of_a_post_that_is_being_converted_when_shutdown_comes_is_left_to_the_next_process(
    make: Make, collector: FakeCollector
) -> None:
    messages = [f"line {number}" for number in range(2_000)]
    process = make()
    is_overtaken = threading.Event()

    def overtake() -> None:
        process.expedite(0.0)
        is_overtaken.set()

    process.inbox.put_body(Interrupted(post(*[event("function", line) for line in messages]), overtake))
    process.start()
    assert is_overtaken.wait(LONG_S)
    process.shut_down("timeout", 5.0)
    begin = lines(collector)
    next_process = make()
    next_process.start()
    assert next_process.is_warm.wait(LONG_S)
    next_process.shut_down("timeout")

    assert 0 < len(begin) < 1_000
    assert lines(collector) == messages
    assert process.accounts.startswith(f"records received {len(begin)} posts spooled 1; ")
    assert next_process.accounts.startswith(f"records received {2_000 - len(begin)} posts restored 1; ")


def test_spooled_posts_are_delivered_before_the_environment_ends(
    make: Make, collector: FakeCollector, tmp_path: Path
) -> None:
    messages = [f"a line {number}" for number in range(6_000)]
    first = make()
    for begin in range(0, 6_000, 2_000):
        first.log(*messages[begin : begin + 2_000])
    first.expedite(0.0)
    first.inbox.put_event(ShutdownEvent("timeout", Deadline.after(LONG_S, first.clock)))
    first.start()
    first.join()
    second = make()
    second.announce("spindown")

    second.start()
    second.join()

    assert lines(collector) == messages
    assert files(tmp_path) == []
    assert "logs received 6000 delivered 6000 dropped 0 held 0 spooled 0" in second.accounts


def test_post_without_time_and_disk_is_counted(make: Make) -> None:
    process = make(SPOOL_BYTES="0")
    end = ShutdownEvent("spindown", Deadline.after(LONG_S, process.clock))
    process.log("too late")
    process.inbox.put_event(end)
    process.expedite(0.0)

    process.start()
    process.join()

    assert end.done.is_set()
    assert process.accounts.startswith("records received 0 posts dropped 1 (not spooled 1); ")


def test_converted_posts_are_sent_while_the_rest_of_the_backlog_is_converted(
    make: Make, collector: FakeCollector
) -> None:
    process = make(FLUSH="shutdown")

    def until_first_arrives() -> None:
        assert collector.wait_for(lambda: lines(collector), LONG_S)

    process.invoke()
    process.log("first")
    process.inbox.put_body(Interrupted(post(event("function", "second")), until_first_arrives))
    process.ends()
    process.reports()
    process.announce("timeout")

    process.start()
    process.join()

    assert lines(collector) == ["first", "second"]
    # The end of the invocation is taken from its runtimeDone, the last post, and not from SHUTDOWN.
    assert [(span.name, span.status.code) for _, _, span in collector.spans()] == [
        ("invocation", 0),
        ("extensionOverhead", 0),
    ]
    assert "faas.timeouts" not in {metric.name for _, _, metric in collector.metrics()}


def test_post_that_arrives_during_the_drain_is_kept(make: Make, collector: FakeCollector) -> None:
    process = make(LISTENER="tcp")
    last = Body(post(event("function", "the last")), OBSERVED_NS)
    with collector.refusing():
        process.inbox.put_body(
            Interrupted(post(event("function", "the last but one")), lambda: process.inbox.put_body(last))
        )
        process.announce("spindown", 2.0)
        process.start()
        process.join()

    assert "logs received 2 delivered 0 dropped 0 held 0 spooled 2" in process.accounts
    assert not process.inbox.put_body(Body(b"[]", OBSERVED_NS))


def test_short_deadline_is_enough_to_spool(make: Make, collector: FakeCollector) -> None:
    process = make()
    with collector.refusing():
        process.log("a line")
        process.start()
        process.shut_down("spindown", 1.0)

    assert "logs received 1 delivered 0 dropped 0 held 0 spooled 1" in process.accounts


def test_outbox_is_spooled_while_the_circuit_is_open(make: Make, collector: FakeCollector, tmp_path: Path) -> None:
    process = make(OUTBOX_BYTES="65536", FLUSH_BUDGET_MS="100")
    collector.script(then=c.Response(status=503, headers={"Retry-After": "60"}))
    process.start()
    first = process.invoke("first")
    process.log("a line")
    process.ends("first")
    assert first.released.wait(LONG_S)
    collector.wait_for(lambda: len(collector.requests) == 3, LONG_S)

    for number in range(5):
        process.log(f"{number} " + "x" * 10_000)
    assert process.invoke("second").released.wait(LONG_S)
    assert process.invoke("third").released.wait(LONG_S)

    assert [name for name in files(tmp_path) if "-logs-" in name]
    process.reports("third")
    process.shut_down("timeout")
    assert "logs received 6 delivered 0 dropped 0 held 0 spooled 6" in process.accounts


def test_spans_of_many_invocations_do_not_wait_for_a_flush(make: Make, collector: FakeCollector) -> None:
    process = make(FLUSH="shutdown")
    process.start()

    done = {"status": "success"}
    process.posts(*[event("platform.runtimeDone", done | {"requestId": f"{number}"}) for number in range(2_100)])
    process.shut_down()

    # In two batches at least: those collected when there were very many, and the rest.
    assert len([span for _, _, span in collector.spans()]) == 2_100


def test_metrics_of_the_extension_itself_are_exported(make: Make, collector: FakeCollector) -> None:
    process = make()
    process.start()
    invoked = process.invoke()
    process.log("a line")
    process.ends()
    assert invoked.released.wait(LONG_S)

    process.reports()
    process.shut_down()

    names = {metric.name for _, _, metric in collector.metrics()}
    assert "otel.sdk.exporter.log.exported" in names


def broken_event(clock: Clock) -> ShutdownEvent:
    """Return a SHUTDOWN that the forwarder fails at."""
    end = ShutdownEvent("timeout", Deadline.after(LONG_S, clock))
    del end.deadline
    return end


def test_after_a_defect_telemetry_in_memory_is_spooled(make: Make, collector: FakeCollector, tmp_path: Path) -> None:
    process = make(FLUSH="shutdown")
    with collector.refusing():
        process.start()
        process.log("held")
        process.inbox.put_event(broken_event(process.clock))
        process.join()

    assert isinstance(process.failure, AttributeError)
    process.forwarder.log_totals()
    # Raw if it was not converted yet.
    assert len([name for name in files(tmp_path) if "-logs-" in name or "-posts-" in name]) == 1
    assert "spooled 1" in process.accounts


def test_after_a_defect_at_shutdown_pending_posts_are_spooled(make: Make, tmp_path: Path) -> None:
    process = make()
    process.expedite(LONG_S)
    process.log("not converted")
    process.inbox.put_event(broken_event(process.clock))

    process.start()
    process.join()

    assert isinstance(process.failure, AttributeError)
    process.forwarder.log_totals()
    assert process.accounts.startswith("records received 0 posts spooled 1; ")


class Timed:
    """A forwarder without endpoints whose time passes only when the test lets it."""

    def __init__(self, process: SpoolingProcess, captured: CapturedLog) -> None:
        self.process = process
        self.inbox = Inbox(INBOX_BYTES)
        clock, log = process.clock, captured.diagnostics(process.clock)
        exporters = Exporters({}, Transport(log), clock=clock, log=log)
        self.forwarder = forwarder_of(process, self.inbox, exporters, captured)
        self.posts_when_warm: list[Tally] = []
        self.end = ShutdownEvent("timeout", Deadline.after(LONG_S, clock))

    def run(self) -> None:
        """Run until SHUTDOWN."""
        self.forwarder.run(on_warm=lambda: self.posts_when_warm.append(self.process.posts))
        assert self.end.done.is_set()

    def shut_down(self, seconds: float) -> None:
        self.end = ShutdownEvent("timeout", Deadline.after(seconds, self.process.clock))
        self.forwarder.limit_work_to_shutdown(self.end)
        self.inbox.put_event(self.end)


class Hooked(Converter):
    """A converter that calls *action* whenever it converts a spooled post."""

    action: Callable[[], object]

    def convert_spooled(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        self.action()
        return super().convert_spooled(body, observed_ns, at)


@pytest.fixture
def replaying(tmp_path: Path, captured: CapturedLog) -> tuple[Timed, Hooked]:
    """A forwarder that finds five spooled posts."""
    SpoolingProcess(tmp_path, captured).spool_raw(*[post(event("function", f"{number}")) for number in range(5)])
    process = SpoolingProcess(tmp_path, captured, kind=Hooked)
    assert isinstance(process.converter, Hooked)
    return Timed(process, captured), process.converter


def test_init_waits_two_seconds_for_the_replay(replaying: tuple[Timed, Hooked]) -> None:
    timed, converter = replaying

    def take_long() -> None:
        timed.process.clock.advance(0.9)
        if timed.posts_when_warm:
            timed.shut_down(2.0)

    converter.action = take_long
    timed.run()

    assert timed.posts_when_warm == [Tally(POSTS, restored=5, delivered=3, spooled=2)]
    assert timed.process.posts == Tally(POSTS, restored=5, delivered=4, spooled=1)


def test_init_does_not_wait_for_the_replay_after_shutdown(replaying: tuple[Timed, Hooked]) -> None:
    timed, converter = replaying
    converter.action = lambda: timed.shut_down(2.0)

    timed.run()

    assert timed.posts_when_warm == [Tally(POSTS, restored=5, delivered=1, spooled=4)]


class SlowDisk(FakeClock):
    """A clock by which each file takes 10 ms to write: the spool reads the wall time for its name."""

    def unix_ns(self) -> int:
        self.advance(0.01)
        return super().unix_ns()


@pytest.mark.parametrize(("clock", "lost"), [(FakeClock(), range(1)), (SlowDisk(), range(8, 20))])
def test_shutdown_during_the_longest_conversion_ends_before_its_deadline(
    tmp_path: Path, captured: CapturedLog, clock: FakeClock, lost: range
) -> None:
    process = SpoolingProcess(tmp_path, captured, spool_bytes=20 * MB, clock=clock, cpu_share=128 / 1_769)
    timed = Timed(process, captured)

    def take_long() -> None:
        timed.shut_down(2.0)
        # 1 MiB of the lines that take longest, with 128 MB of memory.
        process.clock.advance(1.74)

    timed.inbox.put_body(Interrupted(post(event("function", "a line")), take_long))
    for number in range(30):
        timed.inbox.put_body(Body(b"%d" % number + b" " * 300_000, OBSERVED_NS))
    timed.run()

    dropped = process.posts.all_dropped
    assert dropped in lost
    assert process.posts.spooled == 30 - dropped
    assert process.on_disk == ["a line"]
    assert not timed.end.deadline.is_over()


@pytest.mark.parametrize("clock", [FakeClock(), SlowDisk()])
def test_shutdown_without_time_for_the_backlog_ends_the_open_invocation(
    tmp_path: Path, captured: CapturedLog, clock: FakeClock
) -> None:
    process = SpoolingProcess(tmp_path, captured, spool_bytes=20 * MB, clock=clock, cpu_share=128 / 1_769)
    timed = Timed(process, captured)

    def take_long() -> None:
        timed.shut_down(2.0)
        process.clock.advance(1.74)

    timed.inbox.put_body(Body(post(event("platform.start", {"requestId": "r1"})), OBSERVED_NS))
    timed.inbox.put_body(Interrupted(post(event("function", "a line")), take_long))
    for number in range(30):
        timed.inbox.put_body(Body(b"%d" % number + b" " * 300_000, OBSERVED_NS))
    timed.run()

    assert process.ledger.snapshot().of("traces") == Tally("traces", received=1, spooled=1)


class Sliced(Converter):
    """A converter that calls *action* before each slice, with the number of bytes that are converted."""

    action: Callable[[int], object]

    def convert(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        self.action(at)
        return super().convert(body, observed_ns, at)

    def convert_spooled(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        self.action(at)
        return super().convert_spooled(body, observed_ns, at)


FLOOD = post(*[event("function", f"line {number}") for number in range(10_000)])


def sliced(tmp_path: Path, captured: CapturedLog) -> tuple[Timed, Sliced]:
    process = SpoolingProcess(tmp_path, captured, kind=Sliced, spool_bytes=20 * MB)
    assert isinstance(process.converter, Sliced)
    return Timed(process, captured), process.converter


@pytest.mark.parametrize("is_spooled", [False, True])
def test_invocation_is_released_in_the_middle_of_a_large_post(
    tmp_path: Path, captured: CapturedLog, *, is_spooled: bool
) -> None:
    if is_spooled:
        SpoolingProcess(tmp_path, captured, spool_bytes=20 * MB).spool_raw(FLOOD)
    timed, converter = sliced(tmp_path, captured)
    clock = timed.process.clock
    invoked = InvokeEvent(ID, "arn", "", Deadline.after(LONG_S, clock))
    released_before: list[int] = []

    def act(at: int) -> None:
        if 0 < at < 100_000:
            timed.inbox.put_event(invoked)
        if invoked.released.is_set() and not released_before:
            released_before.append(at)
            timed.shut_down(2.0)

    converter.action = act
    if not is_spooled:
        timed.inbox.put_body(Body(FLOOD, OBSERVED_NS))
    timed.run()

    assert released_before < [250_000]
    assert len(FLOOD) > 700_000


def test_flood_is_kept_unconverted_while_an_invocation_needs_the_cpu(tmp_path: Path, captured: CapturedLog) -> None:
    timed, converter = sliced(tmp_path, captured)
    clock, slices = timed.process.clock, []

    def act(at: int) -> None:
        slices.append(at)
        # All of the CPU for 40 ms.
        clock.use_cpu(0.01)
        clock.advance(0.04)

    converter.action = act
    timed.inbox.put_event(InvokeEvent(ID, "arn", "", Deadline.after(LONG_S, clock)))
    for number in range(20):
        timed.inbox.put_body(Body(FLOOD + b" " * number, OBSERVED_NS))
    thread = threading.Thread(target=timed.run)
    thread.start()
    while len(slices) < 2:
        threading.Event().wait(0.001)
    timed.shut_down(0.0)
    thread.join(LONG_S)

    assert not thread.is_alive()
    assert len(slices) < 8
    tally = timed.process.posts
    assert (tally.received, tally.spooled + tally.all_dropped) == (20, 20)


def test_end_of_the_invocation_lifts_the_limit(tmp_path: Path, captured: CapturedLog) -> None:
    timed, converter = sliced(tmp_path, captured)
    clock = timed.process.clock
    converted: list[int] = []

    def act(at: int) -> None:
        converted.append(at)
        clock.use_cpu(0.01)
        if len(converted) == 30:
            timed.shut_down(2.0)

    converter.action = act
    done = post(event("platform.runtimeDone", {"requestId": ID, "status": "success"}))
    timed.inbox.put_event(InvokeEvent(ID, "arn", "", Deadline.after(LONG_S, clock)))
    for number in range(3):
        timed.inbox.put_body(Body(FLOOD + b" " * number, OBSERVED_NS))
    timed.inbox.put_body(Body(done, OBSERVED_NS))
    timed.run()

    assert len(converted) >= 30


@pytest.mark.parametrize(
    ("signal", "tally"), [("posts", "posts dropped 1"), ("logs", "dropped 7"), ("metrics", "dropped 7")]
)
def test_file_that_is_larger_than_any_we_write_is_set_aside_unread(
    make: Make, collector: FakeCollector, tmp_path: Path, signal: str, tally: str
) -> None:
    first = make(FLUSH="shutdown")
    first.log("one")
    first.expedite(0.0)
    first.inbox.put_event(ShutdownEvent("timeout", Deadline.after(LONG_S, first.clock)))
    first.start()
    first.join()
    folder = tmp_path / "telemetry-forwarder"
    [name] = [path.name for path in folder.iterdir()]
    items = 1 if signal == "posts" else 7
    forged = re.sub(r"-posts-1-[0-9]+\.", f"-{signal}-{items}-{10 << 30}.", name)
    with (folder / forged).open("wb") as file:
        # More than this machine could read, but without a block on disk.
        file.truncate(10 << 30)
    second = make()

    second.start()
    assert second.is_warm.wait(LONG_S)
    second.shut_down("timeout")

    assert lines(collector) == ["one"]
    warnings = [line for line in second.captured.lines if line.startswith("WARN")]
    assert warnings == [f"WARN spool: set aside oversized file {forged}"]
    [totals] = [line for line in second.captured.lines if line.startswith("INFO records received")]
    assert f"{tally} (spool file too large {items})" in totals
