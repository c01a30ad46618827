"""An extension driven through `Api`: invoked, given telemetry on its own port, shut down."""

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

from tests.bench.api import Api
from tests.bench.measuring import Started, cpu_ms, started
from tests.bench.sink import Sink
from tests.bench.trees import Tree


class Driven:
    """A running extension, warm, which has asked for its first `next`."""

    def __init__(self, api: Api, process: Started) -> None:
        self.api = api
        self.process = process
        self._posts = socket.create_connection(("127.0.0.1", api.telemetry_port))
        self._posts.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def cpu_ms(self) -> float:
        return cpu_ms(self.process.pid)

    def post(self, body: bytes) -> None:
        """Give it a body, as Lambda does, and wait for the answer; again, as Lambda does, when that is no 200."""
        request = b"POST / HTTP/1.1\r\nHost: sandbox\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        while True:
            self._posts.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                received = self._posts.recv(65_536)
                if not received:
                    raise ConnectionError("the extension has hung up")
                answer += received
            if b" 200 " in answer:
                return
            time.sleep(0.01)

    def close(self) -> None:
        """Hang up."""
        self._posts.close()

    def begin(self, request_id: str = "") -> str:
        """An invocation begins, and does not end by itself."""
        request_id = request_id or str(uuid.uuid4())
        self.api.invoke(request_id)
        self.post(events(("platform.start", {"requestId": request_id, "version": "$LATEST"})))
        return request_id

    def end(self, request_id: str) -> None:
        """The invocation is over; wait until `next` is asked for, which is after the flush where there is one."""
        nexts = self.api.nexts
        self.post(events(("platform.runtimeDone", {"requestId": request_id, "status": "success"})))
        self.api.wait_for_nexts(nexts + 1)

    def shut_down(self) -> float:
        """Let it end itself; gives its whole CPU time in ms."""
        self.api.shut_down()
        self.close()
        return self.process.end(kills=False)


@contextlib.contextmanager
def driven(tree: Tree, sink: Sink, more: Mapping[str, str] | None = None) -> Iterator[Driven]:
    """Start the extension of *tree*, sending to *sink*, and wait until it is warm."""
    with Api() as api, tempfile.TemporaryDirectory() as spool:
        settings = {
            "TELEMETRY_FORWARDER_WARM_UP": "init",
            "TELEMETRY_FORWARDER_SPOOL_DIR": spool,
            **(more or {}),
        }
        env = tree.environment(api.address, sink.endpoint, settings)
        with started(tree.command, env, output=subprocess.DEVNULL) as process:
            api.wait_for("next")
            extension = Driven(api, process)
            try:
                yield extension
            finally:
                extension.close()


def events(*records: tuple[str, Any]) -> bytes:
    """A body of the Telemetry API."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps([{"time": now, "type": type_, "record": record} for type_, record in records])
