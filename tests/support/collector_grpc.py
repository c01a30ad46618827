"""One connection to a FakeCollector over gRPC: takes the same steps, with the statuses that mean the same.

h2 speaks HTTP/2 here; the product does not use it.
"""

import socket
from binascii import b2a_base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import H2Error

from tests.support.collector_connection import Connection, HungUpError, Request, body_of
from tests.support.collector_script import Endless, Response, When
from tests.support.otlp_messages import LOGS, METRICS, SPANS

PATHS = {
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": LOGS,
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": SPANS,
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": METRICS,
}
CODES = {400: 3, 401: 16, 403: 7, 404: 12, 413: 8, 429: 8, 500: 13, 503: 14, 504: 4}


class GrpcConnection(Connection):
    """As its base class, over HTTP/2."""

    def exchange_all(self, stream: socket.socket) -> None:
        self._stream2 = stream
        self._http2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._http2.initiate_connection()
        self._events: list[Any] = []
        try:
            while True:
                head = self._next(RequestReceived)
                self._id = head.stream_id
                headers: dict[str, str] = dict(head.headers)
                headers["host"] = headers[":authority"]
                path = PATHS.get(headers[":path"], headers[":path"])
                self.take(GrpcRequest(path, headers, reader=self, limit_bytes=self.collector.limit_bytes))
        except H2Error as exc:
            raise HungUpError from exc

    def send_response(self, response: Response, path: str) -> None:
        is_date = not response.headers.get("Retry-After", "0").isdigit()
        if response.status not in (200, *CODES) or is_date or "Content-Type" in response.headers:
            # As a proxy responds that knows nothing of gRPC.
            headers = {"content-type": "text/plain"} | {key.lower(): value for key, value in response.headers.items()}
            self._send_headers({":status": str(response.status), **headers})
            self._send_data(response.body or response.message.encode(), ends=True)
        elif response.status == 200:
            message = body_of(response, path) if response.body is None else response.body
            self._send_headers({":status": "200", "content-type": "application/grpc"})
            self._send_data(b"\0" + len(message).to_bytes(4, "big") + message)
            self._send_headers({"grpc-status": "0"}, ends=True)
        else:
            self._send_headers({":status": "200", "content-type": "application/grpc", **_end(response)}, ends=True)
        if response.closes_silently:
            raise HungUpError

    def send_endlessly(self, step: Endless, wait: Callable[[float], None]) -> None:
        kind = "application/grpc" if step.status == 200 else "text/plain"
        self._send_headers({":status": str(step.status), "content-type": kind})
        while True:
            self._send_data(step.piece)
            if step.every_s:
                wait(step.every_s)

    def read_more(self) -> tuple[bytes, bool]:
        """Return more of the body of the request, and whether it has ended."""
        event = self._next(DataReceived, StreamEnded)
        return (b"", True) if isinstance(event, StreamEnded) else (event.data, False)

    def _next(self, *kinds: type) -> Any:
        """Wait for the next event of one of these *kinds*."""
        while True:
            self._stream2.sendall(self._http2.data_to_send())
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, DataReceived):
                    self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if isinstance(event, kinds):
                    return event
            received = self._stream2.recv(65_536)
            if not received:
                raise HungUpError
            self._events += self._http2.receive_data(received)

    def _send_headers(self, headers: dict[str, str], *, ends: bool = False) -> None:
        self._http2.send_headers(self._id, list(headers.items()), end_stream=ends)
        self._stream2.sendall(self._http2.data_to_send())

    def _send_data(self, data: bytes, *, ends: bool = False) -> None:
        while data or ends:
            size = min(len(data), self._http2.local_flow_control_window(self._id), self._http2.max_outbound_frame_size)
            if data and not size:
                received = self._stream2.recv(65_536)
                if not received:
                    raise HungUpError
                self._events += self._http2.receive_data(received)
                continue
            part, data = data[:size], data[size:]
            self._http2.send_data(self._id, part, end_stream=ends and not data)
            self._stream2.sendall(self._http2.data_to_send())
            if not data:
                return


class GrpcRequest(Request):
    """As its base class, from the frames of one stream."""

    def __init__(self, path: str, headers: dict[str, str], *, reader: GrpcConnection, limit_bytes: int) -> None:
        super().__init__("POST", path, headers, reader=None, limit_bytes=limit_bytes)
        self._frames = reader

    def read(self, until: When) -> None:
        if until is When.MID_BODY:
            self.wire = self.body = self._frames.read_more()[0]
        elif until is When.AFTER_BODY:
            self.read_all()

    def read_all(self) -> None:
        has_ended = False
        while not has_ended:
            data, has_ended = self._frames.read_more()
            self.wire += data
        self.body = self.wire[5:]
        self.refusal = self.refusal_of(encoding="gzip" if self.wire[:1] == b"\1" else "identity", packed=self.body)


def _end(response: Response) -> dict[str, str]:
    """Return the trailers of a refusal."""
    text = (response.body or b"").decode("utf-8", "replace") or response.message or f"status {response.status}"
    if response.status == 413:
        text = f"grpc: received message larger than max ({text})"
    status = Status(code=CODES[response.status], message=text)
    headers = {name.lower(): value for name, value in response.headers.items()}
    if "retry-after" in headers:
        info = AnyMessage()
        info.Pack(RetryInfo(retry_delay=Duration(seconds=int(headers["retry-after"]))))
        status.details.extend([AnyMessage(type_url="x/y", value=b"\xff"), info])
    encoded = b2a_base64(status.SerializeToString(), newline=False).decode().rstrip("=")
    return {
        "grpc-status": str(status.code),
        "grpc-message": quote(text, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~\""),
        "grpc-status-details-bin": encoded,
    }
