"""Drives an extension through a `LambdaStub`: invokes it, posts telemetry to its port, shuts it down."""

import contextlib
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.bench.lambda_stub import LambdaStub
from tests.bench.measuring import Started, cpu_ms, started
from tests.bench.sink import Sink
from tests.bench.trees import Tree


class DrivenExtension:
    """A running extension that has called its first `next`."""

    def __init__(self, api: LambdaStub, process: Started) -> None:
        self.api = api
        self.process = process
        self._posts = socket.create_connection(("127.0.0.1", api.telemetry_port))
        self._posts.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._next_calls = 0
        """Number of calls of `next` before the invocation."""

    @property
    def cpu_ms(self) -> float:
        return cpu_ms(self.process.pid)

    def post(self, body: bytes) -> None:
        """Post *body* until the response is a 200, as Lambda does."""
        request = b"POST / HTTP/1.1\r\nHost: sandbox\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        while True:
            self._posts.sendall(request)
            response = b""
            while b"\r\n\r\n" not in response:
                received = self._posts.recv(65_536)
                if not received:
                    raise ConnectionError("the extension has closed the connection")
                response += received
            if b" 200 " in response:
                return
            time.sleep(0.01)

    def close(self) -> None:
        """Hang up."""
        self._posts.close()

    def begin(self, request_id: str = "") -> str:
        """Begin an invocation; it lasts until `end`."""
        request_id = request_id or str(uuid.uuid4())
        # Counted here: after a flush that overran the budget, `next` is called before the end of the invocation.
        self._next_calls = self.api.next_calls
        self.api.invoke(request_id)
        self.post(events(("platform.start", {"requestId": request_id, "version": "$LATEST"})))
        return request_id

    def end(self, request_id: str) -> None:
        """End the invocation and wait for the call of `next`, which follows the flush, if there is one."""
        self.post(events(("platform.runtimeDone", {"requestId": request_id, "status": "success"})))
        self.api.wait_for_next_calls(self._next_calls + 1)

    def shut_down(self) -> float:
        """Send SHUTDOWN, wait until it exits and return its total CPU time in ms."""
        self.api.shut_down()
        self.close()
        return self.process.end(kills=False)


@contextlib.contextmanager
def driven_extension(tree: Tree, sink: Sink, more: Mapping[str, str] | None = None) -> Iterator[DrivenExtension]:
    """Start the extension of *tree*, which sends to *sink*, and wait until it is warm."""
    with LambdaStub() as api, tempfile.TemporaryDirectory() as spool:
        settings = {"TELEMETRY_FORWARDER_WARM_UP": "init", "TELEMETRY_FORWARDER_SPOOL_DIR": spool, **(more or {})}
        env = tree.environment(api.address, sink.endpoint, settings)
        with started(tree.command, env, output=subprocess.DEVNULL) as process:
            api.wait_for("next")
            extension = DrivenExtension(api, process)
            try:
                yield extension
            finally:
                extension.close()


def events(*records: tuple[str, Any]) -> bytes:
    """Return a body of the Telemetry API."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps([{"time": now, "type": type_, "record": record} for type_, record in records])
