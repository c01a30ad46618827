"""A stub of Lambda's APIs for benchmarks: it uses hardly any CPU and records when it was called first.

`tests/emulator` emulates Lambda; this only responds, so a start can be timed to a fraction of a millisecond.
"""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Self

import orjson

_ID = "Lambda-Extension-Identifier: 11111111-2222-3333-4444-555555555555\r\n"
_REGISTERED = '{"functionName":"orders","functionVersion":"$LATEST","handler":"app.handler"}'


class LambdaStub:
    """Runtime, Extensions and Telemetry API on a loopback port. Public members can be used from any thread."""

    def __init__(self) -> None:
        self.first_call_s: dict[str, float] = {}
        """Moments of the first `register`, `next` and `runtime` (its `next`)."""
        self.on_call: Callable[[str], None] = lambda what: None
        """Called with each of these names, before the response."""
        self.next_calls = 0
        """Number of calls of `next` by the extension."""
        self.telemetry_port = 0
        self._events: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def wait_for(self, *names: str, timeout_s: float = 120.0) -> float:
        """Wait until all *names* were called; return the moment of the last one."""
        with self._changed:
            if not self._changed.wait_for(lambda: all(name in self.first_call_s for name in names), timeout_s):
                raise TimeoutError(f"{names} were not all called: {self.first_call_s}")
            return max(self.first_call_s[name] for name in names)

    def wait_for_next_calls(self, count: int, timeout_s: float = 120.0) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self.next_calls >= count, timeout_s):
                raise TimeoutError(f"next was called {self.next_calls} times, not {count}")

    def invoke(self, request_id: str, seconds: float = 900.0) -> None:
        event = {
            "eventType": "INVOKE",
            "deadlineMs": int((time.time() + seconds) * 1000),
            "requestId": request_id,
            "invokedFunctionArn": "arn:aws:lambda:eu-west-1:111122223333:function:orders",
            "tracing": {"type": "X-Amzn-Trace-Id", "value": ""},
        }
        self._queue_event(orjson.dumps(event))

    def shut_down(self, seconds: float = 600.0, reason: str = "spindown") -> None:
        deadline_ms = int((time.time() + seconds) * 1000)
        event = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms}
        self._queue_event(orjson.dumps(event))

    def _queue_event(self, event: bytes) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                length = 0
                while (field := reader.readline().lower()).strip():
                    if field.startswith(b"content-length:"):
                        length = int(field.split(b":")[1])
                body = reader.read(length)
                fields, response = self._answer(line.split()[1].decode(), body)
                head = f"HTTP/1.1 200 OK\r\n{fields}Content-Length: {len(response)}\r\n\r\n"
                try:
                    connection.sendall(head.encode() + response)
                except OSError:
                    return

    def _answer(self, path: str, body: bytes) -> tuple[str, bytes]:
        match path.rsplit("/", 1)[1]:
            case "register":
                self._record("register")
                return _ID, _REGISTERED.encode()
            case "telemetry":
                destination = orjson.loads(body)["destination"]
                uri = destination.get("URI", "")
                self.telemetry_port = destination.get("port") or int(uri.split(":")[2].partition("/")[0])
                return "", b"OK"
            case "next" if "/runtime/" in path:
                self._record("runtime")
                self._wait_until_closed()
            case "next":
                self._record("next")
                return "", self._next_event()
        return "", b"{}"

    def _record(self, what: str) -> None:
        at_s = time.monotonic()
        with self._changed:
            self.next_calls += what == "next"
            self.first_call_s.setdefault(what, at_s)
            self._changed.notify_all()
        self.on_call(what)

    def _next_event(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._is_closed)
            return self._events.popleft() if self._events else b"{}"

    def _wait_until_closed(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed)
