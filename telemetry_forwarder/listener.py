"""Takes what Lambda posts (HTTP) or streams (TCP) and puts it in the inbox. Reads nothing into it.

One thread for all connections, that waits in `poll` without limit: while nothing comes it uses no CPU. Answers
200 once a body is in the inbox, 503 when there is no room (Lambda sends it again), 4xx on what is no post of
Lambda's; never anything else, because a batch that is refused for its content comes again for ever.
"""

import _socket
import select
import threading

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.errors import MessageError
from telemetry_forwarder.http1 import Message, MessageReader
from telemetry_forwarder.inbox import Body, Inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_forwarder.diagnostics import Diagnostics

# A post can be twice the subscription's maxBytes and its metadata: 2 MB and some.
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html#telemetry-api-buffering
MAX_BODY_BYTES = 4_194_304
_MAX_CONNECTIONS = 64
_RECEIVE_BYTES = 262_144
_BACKLOG = 128

_REASONS = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Listener:
    """A port on every interface, and the thread that serves it until `close`."""

    def __init__(self, protocol: str, port: int, inbox: Inbox, clock: Clock, say: "Diagnostics") -> None:
        """Bind, so that Lambda can connect from here on. A *port* that is taken costs a warning and another port."""
        self._protocol = protocol
        self._inbox = inbox
        self._clock = clock
        self._server = _bind(port, say)
        self.port: int = self._server.getsockname()[1]
        self._connections: dict[int, _Connection] = {}
        self._poll = select.poll()
        self._wake_end, self._waking_end = _socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop taking anything. Returns when the thread has gone."""
        self._waking_end.close()
        self._thread.join()

    def _serve(self) -> None:
        self._poll.register(self._wake_end.fileno(), select.POLLIN)
        self._poll.register(self._server.fileno(), select.POLLIN)
        while True:
            for number, _ in self._poll.poll():
                if number == self._wake_end.fileno():
                    self._close_all()
                    return
                if number == self._server.fileno():
                    self._accept()
                elif number in self._connections:
                    self._read(number)

    def _accept(self) -> None:
        try:
            number, _ = self._server._accept()  # type: ignore[attr-defined]  # the C socket has no other
        except OSError:
            return  # Gone before we came to it, or no descriptor left: Lambda connects again.
        connection = _socket.socket(fileno=number)
        if len(self._connections) >= _MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        kind = _TcpConnection if self._protocol == "tcp" else _HttpConnection
        self._connections[number] = kind(connection, self._inbox, self._clock)
        self._poll.register(number, select.POLLIN)

    def _read(self, number: int) -> None:
        connection = self._connections[number]
        try:
            is_open = connection.read()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            is_open = False
        if not is_open:
            self._poll.unregister(number)
            del self._connections[number]
            connection.socket.close()

    def _close_all(self) -> None:
        for connection in self._connections.values():
            connection.socket.close()
        self._server.close()
        self._wake_end.close()


class _HttpConnection:
    """Posts in, answers out."""

    __slots__ = ("_clock", "_inbox", "_reader", "socket")

    def __init__(self, socket: _socket.socket, inbox: Inbox, clock: Clock) -> None:
        self.socket = socket
        self._inbox = inbox
        self._clock = clock
        self._reader = MessageReader(MAX_BODY_BYTES)

    def read(self) -> bool:
        """Take what has come; say whether more may come."""
        received = self.socket.recv(_RECEIVE_BYTES)
        if not received:
            return False
        did_expect = self._reader.expects_continue
        try:
            messages = self._reader.feed(received)
        except MessageError as exc:
            self._answer(exc.status, "Connection: close\r\n")
            return False
        if self._reader.expects_continue and not did_expect:
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return all([self._take(message) for message in messages])

    def _take(self, message: Message) -> bool:
        method = message.start_line.split(" ", 1)[0]
        if method not in ("POST", "PUT"):
            self._answer(405, "Allow: POST, PUT\r\n")
        elif self._inbox.put_body(Body(message.body, self._clock.unix_ns())):
            self._answer(200)
        else:
            self._answer(503, "Retry-After: 1\r\n")
        return not message.wants_close

    def _answer(self, status: int, fields: str = "") -> None:
        # So short that the socket's buffer always takes it, unless the other side reads nothing at all: then
        # this raises, and the connection is closed.
        self.socket.sendall(
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n{fields}Content-Length: 0\r\n\r\n".encode("ascii")
        )


class _TcpConnection:
    """Lines in, nothing out: TCP has no way to refuse, so a full inbox makes Lambda wait instead."""

    __slots__ = ("_clock", "_inbox", "_partial", "socket")

    def __init__(self, socket: _socket.socket, inbox: Inbox, clock: Clock) -> None:
        self.socket = socket
        self._inbox = inbox
        self._clock = clock
        self._partial = bytearray()

    def read(self) -> bool:
        """Take what has come; say whether more may come. Blocks while the inbox is full."""
        received = self.socket.recv(_RECEIVE_BYTES)
        if not received:
            self._put(bytes(self._partial))
            return False
        end_of_line = received.rfind(b"\n") + 1
        if end_of_line:
            self._put(bytes(self._partial) + received[:end_of_line])
            self._partial = bytearray(received[end_of_line:])
        else:
            self._partial += received
        if len(self._partial) > MAX_BODY_BYTES:
            # No line of Lambda's is that long. Handed on as it is: whoever decodes keeps it as text.
            self._put(bytes(self._partial))
            self._partial = bytearray()
        return True

    def _put(self, lines: bytes) -> None:
        body = Body(lines, self._clock.unix_ns())
        while lines and not self._inbox.put_body(body):
            self._inbox.wait_for_room(None)


_Connection = _HttpConnection | _TcpConnection


def _bind(port: int, say: "Diagnostics") -> _socket.socket:
    server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    # A second life in the same environment must not wait for the first one's connections to be forgotten.
    server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    # Every interface: Lambda's `sandbox.localdomain` and its emulators' 127.0.0.1 are not the same everywhere.
    try:
        server.bind(("0.0.0.0", port))
    except OSError as exc:
        say.warn(f"port {port} cannot be had ({exc.strerror}); any free port is taken instead")
        server.bind(("0.0.0.0", 0))
    server.listen(_BACKLOG)
    return server
