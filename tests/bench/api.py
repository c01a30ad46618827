"""As much of Lambda's API as a benchmark needs, and hardly any CPU: who asked for what, and when.

`tests/emulator` imitates Lambda; this only answers, so that a start can be timed to a fraction of a millisecond.
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


class Api:
    """Runtime, Extensions and Telemetry API on a loopback port. Public members may be used from any thread."""

    def __init__(self) -> None:
        self.asked_s: dict[str, float] = {}
        """When each was asked for the first time: `register`, `next`, `runtime`."""
        self.on_ask: Callable[[str], None] = lambda what: None
        """Called at each of those, before the answer."""
        self.nexts = 0
        """How often `next` was asked for."""
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

    def wait_for(self, *names: str, timeout_s: float = 30.0) -> float:
        """Wait until all *names* have been asked for; the moment of the last."""
        with self._changed:
            if not self._changed.wait_for(lambda: all(name in self.asked_s for name in names), timeout_s):
                raise TimeoutError(f"{names} were not all asked for: {self.asked_s}")
            return max(self.asked_s[name] for name in names)

    def wait_for_nexts(self, count: int, timeout_s: float = 60.0) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self.nexts >= count, timeout_s):
                raise TimeoutError(f"next was asked for {self.nexts} times, not {count}")

    def invoke(self, request_id: str, seconds: float = 900.0) -> None:
        event = {
            "eventType": "INVOKE",
            "deadlineMs": int((time.time() + seconds) * 1000),
            "requestId": request_id,
            "invokedFunctionArn": "arn:aws:lambda:eu-west-1:111122223333:function:orders",
            "tracing": {"type": "X-Amzn-Trace-Id", "value": ""},
        }
        self._give(orjson.dumps(event))

    def shut_down(self, seconds: float = 60.0) -> None:
        deadline_ms = int((time.time() + seconds) * 1000)
        self._give(b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":%d}' % deadline_ms)

    def _give(self, event: bytes) -> None:
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
                fields, answer = self._answer(line.split()[1].decode(), body)
                head = f"HTTP/1.1 200 OK\r\n{fields}Content-Length: {len(answer)}\r\n\r\n"
                try:
                    connection.sendall(head.encode() + answer)
                except OSError:
                    return

    def _answer(self, path: str, body: bytes) -> tuple[str, bytes]:
        match path.rsplit("/", 1)[1]:
            case "register":
                self._note("register")
                return _ID, _REGISTERED.encode()
            case "telemetry":
                destination = orjson.loads(body)["destination"]
                uri = destination.get("URI", "")
                self.telemetry_port = destination.get("port") or int(uri.split(":")[2].rstrip("/"))
                return "", b"OK"
            case "next" if "/runtime/" in path:
                self._note("runtime")
                self._wait_for_ever()
            case "next":
                self._note("next")
                return "", self._next_event()
        return "", b"{}"

    def _note(self, what: str) -> None:
        at_s = time.monotonic()
        with self._changed:
            self.nexts += what == "next"
            self.asked_s.setdefault(what, at_s)
            self._changed.notify_all()
        self.on_ask(what)

    def _next_event(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._is_closed)
            return self._events.popleft() if self._events else b"{}"

    def _wait_for_ever(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed)
