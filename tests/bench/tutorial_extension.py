"""An extension as tutorials write it, for comparison: httpx and the official exporters, imported at the top.

It is complete and uses the SDK as intended: a LogRecord for each line, exported in batches by the official OTLP
exporter. Run as a script, it is the extension.
"""

import json
import os
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
_BATCH = int(os.environ.get("TUTORIAL_BATCH", "1000"))
_NAMES = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "WARNING": 13, "ERROR": 17, "FATAL": 21, "CRITICAL": 21}


class Exporters:
    """The exporters of all three signals, set up as in the SDK's documentation."""

    def __init__(self) -> None:
        resource = Resource.create({"service.name": os.environ["AWS_LAMBDA_FUNCTION_NAME"]})
        self.logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self.logs.add_log_record_processor(
            BatchLogRecordProcessor(OTLPLogExporter(), max_queue_size=1_000_000, max_export_batch_size=_BATCH)
        )
        self.traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=float("inf"))
        self.metrics = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self.logger = self.logs.get_logger("aws.lambda.function")

    def add(self, event: dict[str, Any]) -> None:
        """Export one record of the Telemetry API."""
        record, attributes, level = event["record"], {}, "INFO"
        if isinstance(record, dict):
            attributes = {key: value for key, value in record.items() if key not in ("message", "level")}
            level, record = record.get("level", "INFO"), record.get("message", "")
        elif record.startswith("["):
            level, _, request_id, record = record.split("\t", 3)
            level, attributes = level[1:-1], {"faas.invocation_id": request_id}
        moment = datetime.fromisoformat(event["time"])
        self.logger.emit(
            LogRecord(
                timestamp=int(moment.timestamp() * 1000) * 1_000_000,
                observed_timestamp=time.time_ns(),
                severity_text=level,
                severity_number=SeverityNumber(_NAMES.get(level, 0)),
                body=record,
                attributes=attributes,
            )
        )

    def flush(self) -> None:
        self.logs.force_flush()
        self.traces.force_flush()


def listener(exporters: Exporters) -> ThreadingHTTPServer:
    """Start the server for the posts of the Telemetry API."""

    class Posts(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
                if event["type"] == "function":
                    exporters.add(event)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Posts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    """Register, listen, subscribe, process events."""
    exporters = Exporters()
    client = httpx.Client(base_url=_API, timeout=None)  # noqa: S113  # `next` takes as long as the environment is idle
    response = client.post(
        "/2020-01-01/extension/register",
        headers={"Lambda-Extension-Name": "tutorial"},
        json={"events": ["INVOKE", "SHUTDOWN"]},
    )
    identity = {"Lambda-Extension-Identifier": response.headers["Lambda-Extension-Identifier"]}
    port = listener(exporters).server_address[1]
    client.put(
        "/2022-07-01/telemetry",
        headers=identity,
        json={
            "schemaVersion": "2022-12-13",
            "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{port}"},
            "types": ["platform", "function", "extension"],
            "buffering": {"timeoutMs": 25, "maxItems": 1000, "maxBytes": 262144},
        },
    )
    while client.get("/2020-01-01/extension/event/next", headers=identity).json()["eventType"] != "SHUTDOWN":
        exporters.flush()
    exporters.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
