"""What real runtime clients report of a failure is one error span, one count and one log record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.emulator import Lambda
from tests.support.collector import FakeCollector
from tests.support.otlp_messages import attributes, points
from tests.support.paths import FUNCTIONS
from tests.support.runtime_clients import CLIENTS, MissingClientError

ERROR = 2
_UNFRAMED = ["/usr/bin/env", "-u", "_LAMBDA_TELEMETRY_LOG_FD"]


class Reported(NamedTuple):
    """What arrived of a failure."""

    spans: list[tuple[str, str, str]]
    """Name, error type and description of each failed span."""
    errors: dict[str, int]
    """`faas.errors` by error type."""
    exceptions: list[tuple[str, str, int]]
    """Type, message and severity of each log record with an exception."""


Run = Callable[..., Reported]


@pytest.fixture
def run(opt: Path, collector: FakeCollector, tmp_path: Path) -> Run:
    """Return a function that invokes a handler once and returns what arrived of it."""

    def invoke(
        client: str, event: Any, *, log_format: str, is_framed: bool = True, handler: str = "app.handler"
    ) -> Reported:
        try:
            command = [*CLIENTS[client](), handler]
        except MissingClientError as error:
            pytest.skip(f"NOT TESTED: {error}")
        env = {
            "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
            "TELEMETRY_FORWARDER_SPOOL_DIR": str(tmp_path / "spool"),
        }
        settings: dict[str, Any] = {"log_format": log_format, "handler": handler, "timeout_s": 10.0, "env": env}
        bootstrap = command if is_framed else [*_UNFRAMED, *command]
        with Lambda(opt=opt, task=FUNCTIONS, bootstrap=bootstrap, **settings) as function:
            if function.init_fault is None:
                function.invoke(event)
        return reported(collector)

    return invoke


def reported(collector: FakeCollector) -> Reported:
    failed = [span for _, _, span in collector.spans() if span.status.code == ERROR]
    counted = [
        point for _, _, metric in collector.metrics() if metric.name == "faas.errors" for point in points(metric)
    ]
    records = [(attributes(record.attributes), record.severity_number) for *_, record in collector.logs()]
    return Reported(
        [(span.name, attributes(span.attributes)["error.type"], span.status.message) for span in failed],
        {attributes(point.attributes)["error.type"]: point.as_int for point in counted},
        [
            (record["exception.type"], record["exception.message"], severity)
            for record, severity in records
            if "exception.type" in record
        ],
    )


# Without Lambda's own pipe for logs, as under other emulators, Python's client writes other lines.
@pytest.mark.parametrize(
    ("client", "is_framed"), [*((client, True) for client in CLIENTS), ("python", False), ("old-python", False)]
)
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_handler_that_raises_is_one_error(run: Run, client: str, log_format: str, is_framed: bool) -> None:
    result = run(client, {"raise": "no stock"}, log_format=log_format, is_framed=is_framed)

    assert result == Reported([("orders", "DemoError", "no stock")], {"DemoError": 1}, [("DemoError", "no stock", 17)])


@pytest.mark.parametrize("client", ["node", "new-node"])
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_exception_that_ends_the_process_is_one_error(run: Run, client: str, log_format: str) -> None:
    result = run(client, {"later": "no stock"}, log_format=log_format)

    ended = "Runtime.ExitError"
    assert result == Reported([("orders", ended, "no stock")], {ended: 1}, [("DemoError", "no stock", 17)])


@pytest.mark.parametrize("client", ["python", "new-node"])
def test_exit_is_one_error_without_an_exception(run: Run, client: str) -> None:
    result = run(client, {"exit": 3}, log_format="Text")

    assert result == Reported([("orders", "Runtime.ExitError", "")], {"Runtime.ExitError": 1}, [])


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_handler_that_cannot_be_imported_is_a_failed_init(run: Run, client: str, log_format: str) -> None:
    result = run(client, {}, log_format=log_format, handler="missing.handler")

    [(name, error_type, _)] = result.spans
    [(exception_type, message, severity)] = result.exceptions
    assert (name, error_type) == ("init", "Runtime.ImportModuleError")
    # Node.js's client leaves out the prefix in JSON.
    assert error_type.endswith(exception_type)
    assert ("missing" in message, severity) == (True, 17)
