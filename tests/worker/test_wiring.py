import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, ShutdownEvent
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.worker.forwarder import Forwarder
from telemetry_forwarder.worker.wiring import build_forwarder
from tests.support.captured_log import CapturedLog

TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"

Build = Callable[..., Forwarder]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(1_000_000)


@pytest.fixture
def build(captured: CapturedLog, inbox: Inbox) -> Iterator[Build]:
    last_resort = logging.lastResort

    def build(environ: dict[str, str] | None = None, registration: bytes = b"{}") -> Forwarder:
        environ = {PREFIX + "ENDPOINT": "http://127.0.0.1:1", **(environ or {})}
        clock = Clock()
        log = captured.diagnostics(clock)
        return build_forwarder(
            Settings(environ), environ, registration, inbox=inbox, ownership=Ownership(), clock=clock, log=log
        )

    yield build
    logging.lastResort = last_resort


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        (PREFIX + "ENPDOINT", "http://localhost", f"{PREFIX}ENPDOINT: there is no such setting"),
        (TEMPORALITY, "sum", f"{TEMPORALITY}: 'sum' is none of delta, lowmemory, cumulative; using delta instead"),
    ],
)
def test_problem_of_a_setting_is_logged(
    build: Build, captured: CapturedLog, name: str, value: str, warning: str
) -> None:
    build({name: value})

    assert captured.lines == [f"WARN {warning}"]


@pytest.mark.parametrize("value", ["", "cumulative", "DELTA"])
def test_valid_temporality_is_no_problem(build: Build, captured: CapturedLog, value: str) -> None:
    build({TEMPORALITY: value})

    assert captured.lines == []


@pytest.mark.parametrize("registration", [b"", b"[]", b'{"functionName":"orders"}'])
def test_any_registration_is_accepted(build: Build, captured: CapturedLog, registration: bytes) -> None:
    build(registration=registration)

    assert captured.lines == []


def test_lines_of_libraries_are_logged_once_a_minute(build: Build, captured: CapturedLog) -> None:
    build()
    assert logging.lastResort is not None

    for _ in range(2):
        logging.lastResort.handle(record("cannot parse %s", "x"))
    logging.lastResort.handle(record("%d", "no number"))
    logging.lastResort.handle(record("failed", error=ValueError("why")))

    assert captured.lines == [
        "WARN library: cannot parse x",
        "WARN library: %d",
        "WARN library: failed: ValueError: why",
    ]


def record(message: str, *values: object, error: Exception | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, None)
    return logging.LogRecord("library", logging.WARNING, "x.py", 1, message, values, exc_info)


@pytest.mark.parametrize("folder", ["data", "data/telemetry-forwarder"])
def test_spool_is_in_a_folder_of_its_own(build: Build, inbox: Inbox, tmp_path: Path, folder: str) -> None:
    forwarder = build({PREFIX + "SPOOL_DIR": str(tmp_path / folder)})
    event = ShutdownEvent("timeout", Deadline.after(5.0, Clock()))
    no_time = ShutdownEvent("timeout", Deadline.after(0.0, Clock()))

    inbox.put_body(Body(b"[]", 1))
    inbox.put_event(event)
    forwarder.limit_work_to_shutdown(no_time)
    forwarder.run(on_warm=lambda: None)

    assert event.done.is_set()
    assert len(list((tmp_path / "data" / "telemetry-forwarder").iterdir())) == 1
