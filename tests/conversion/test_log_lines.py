from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.fast_path import FastPath
from telemetry_forwarder.conversion.log_lines import LOGS_DISABLED, LogLineConverter
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.invocations.completed import CompletedPhase
from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.invocations.tracker import InvocationTracker
from telemetry_forwarder.otlp.log_encoding import encode_observed_time
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.otlp.resource import CurrentResource
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.telemetry.records import LogLine
from tests.support import otlp_messages as otlp
from tests.support.posts import MOMENT, MOMENT_NS, OBSERVED_NS, event
from tests.support.stories import at, done, init_report, init_start, start

IMPORT_ERROR = "[ERROR] Runtime.ImportModuleError: no module named 'x'\nTraceback (most recent call last):\n"
ID, OTHER_ID = "8286a188-ba32-4475-8077-530cd35c09a9", "3d1bd5e6-ba32-4475-8077-000000000000"


class Bench:
    """A converter of log lines, with one invocation that started at `MOMENT_NS`."""

    def __init__(self, **settings: str) -> None:
        self.ledger = Ledger()
        self.invocations = InvocationTracker(is_managed=False, new_id=lambda size: "ab" * size)
        self.invocations.observe(start(ID, 0))
        self._logs = LogEncoder(CurrentResource(Resource({})), "1", batch_bytes=1 << 20, batch_items=1 << 20)
        names = {PREFIX + name: value for name, value in settings.items()}
        self._fast_path = FastPath(self._logs)
        self.converter = LogLineConverter(
            Settings(names),
            self._logs,
            fast_path=self._fast_path,
            invocations=self.invocations,
            ledger=self.ledger,
            function_name="orders",
        )

    @property
    def invocation(self) -> Invocation:
        invocation = self.invocations.find(ID, MOMENT_NS)
        assert invocation is not None
        return invocation

    def convert(self, record: Any, *, ms: float = 100, origin: str = "function") -> None:
        self.converter.convert(LogLine(origin, record=record, time_ns=at(ms), observed_ns=OBSERVED_NS))

    def convert_fast(self, record: Any) -> bool:
        return self._fast_path.convert(event("function", record), encode_observed_time(OBSERVED_NS))

    def take(self) -> list[tuple[str, str | None]]:
        """The lines, each with the id of its invocation."""
        requests = [otlp.REQUESTS[f"/v1/{LOGS}"].FromString(batch.body) for batch in self._logs.take()]
        return [
            (log.body.string_value, otlp.attributes(log.attributes).get("faas.invocation_id"))
            for request in requests
            for _, _, log in otlp.log_records(request)
        ]

    def filtered(self) -> dict[str, int]:
        return dict(self.ledger.snapshot().of(LOGS).filtered)


def ordinary(request_id: str = ID) -> str:
    return f"[INFO]\t{MOMENT}\t{request_id}\ta line\n"


def test_line_belongs_to_the_invocation_of_its_id_or_to_the_open_one() -> None:
    bench = Bench()

    bench.convert("printed")
    bench.convert(ordinary())
    bench.convert("of an extension", origin="extension")

    assert bench.take() == [("printed", ID), ("a line", ID), ("of an extension", None)]


@pytest.mark.parametrize(("has_ended", "request_id"), [(False, ID), (True, OTHER_ID)])
def test_unknown_id_may_be_that_of_the_next_invocation(has_ended: bool, request_id: str) -> None:
    bench = Bench()
    if has_ended:
        bench.invocations.observe(done(ID, 50))

    bench.convert(ordinary(OTHER_ID))

    assert bench.take() == [("a line", request_id)]


def test_line_without_invocation_is_converted() -> None:
    bench = Bench()

    bench.converter.convert_without_invocation(
        LogLine("function", record="printed", time_ns=at(0), observed_ns=OBSERVED_NS)
    )

    assert bench.take() == [("printed", None)]


def test_own_lines_are_filtered() -> None:
    bench = Bench()

    bench.convert("[telemetry-forwarder] INFO own", origin="extension")

    assert (bench.take(), bench.filtered()) == ([], {"own log line": 1})


def test_failures_are_noted_even_if_logs_are_disabled() -> None:
    bench = Bench(SIGNALS="spans")

    bench.convert("[ERROR] MemoryError: no\nTraceback (most recent call last):", ms=300)
    bench.convert("[ERROR] ValueError: no\nTraceback (most recent call last):", ms=200)
    bench.convert("printed", origin="extension")

    invocation = bench.invocation
    assert (invocation.exception_type, invocation.has_run_out_of_memory) == ("MemoryError", True)
    assert invocation.last_line_ns == at(300)
    assert (bench.take(), bench.filtered()) == ([], {LOGS_DISABLED: 3})


@pytest.mark.parametrize(("settings", "is_fast"), [({}, True), ({"RAW_LINES": "true"}, False)])
def test_line_like_one_before_takes_the_fast_path(settings: dict[str, str], is_fast: bool) -> None:
    bench = Bench(**settings)

    bench.convert(ordinary())

    assert bench.convert_fast(ordinary()) is is_fast


def test_lines_of_a_retried_request_take_the_general_path() -> None:
    bench = Bench()
    bench.invocations.observe(done(ID, 50))
    bench.invocations.observe(start(ID, 90))

    bench.convert(ordinary())

    assert not bench.convert_fast(ordinary())


def test_exception_during_an_init_describes_the_init() -> None:
    bench = Bench()
    bench.invocations.observe(init_start(-200))
    bench.convert(IMPORT_ERROR, ms=-100)
    bench.invocations.observe(init_report(-50, status="error"))
    bench.convert("[ERROR] ValueError: later\nTraceback (most recent call last):\n", ms=10)

    (phase,) = [found for found in bench.invocations.take_completed() if isinstance(found, CompletedPhase)]
    assert (phase.failure, phase.error_message) == ("error", "no module named 'x'")
    assert bench.invocation.exception_message == "later"
