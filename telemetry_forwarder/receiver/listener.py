"""Takes what Lambda posts (HTTP) or streams (TCP) and puts it in the inbox. Reads nothing into it.

One thread for all connections, that waits in `poll` without limit: while nothing comes it uses no CPU. Answers
200 once a body is in the inbox, 503 when there is no room (Lambda sends it again), 4xx on what is no post of
Lambda's; never anything else, because a batch that is refused for its content comes again for ever.
"""

import _socket
import select
import threading
from contextlib import suppress

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.errors import MessageError
from telemetry_forwarder.http1 import Message, MessageReader
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body

# A post can be twice the subscription's maxBytes and its metadata: 2 MB and some.
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html#telemetry-api-buffering
MAX_BODY_BYTES = 4_194_304
MAX_CONNECTIONS = 64
# Of all connections together, received and not complete. Lambda itself has one or two of them.
MAX_HELD_BYTES = 4 * MAX_BODY_BYTES
# What we go on reading, and throwing away, from a sender that was refused and may not have looked yet.
MAX_DISCARDED_BYTES = 67_108_864
_RECEIVE_BYTES = 262_144
_NO_DESCRIPTOR_PAUSE_S = 0.02

_REASONS = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Listener:
    """The thread that serves a port until `close`."""

    def __init__(self, protocol: str, server: _socket.socket, inbox: Inbox, clock: Clock) -> None:
        """*protocol* is `http` or `tcp`. *server* listens already and belongs to the listener from here on."""
        self._connect = _TcpConnection if protocol == "tcp" else _HttpConnection
        self._server = server
        self._server.setblocking(False)
        self._inbox = inbox
        self._clock = clock
        self._connections: dict[int, _Connection] = {}
        self._poll = select.poll()
        self._wake_end, self._waking_end = _socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop taking anything. Returns when the thread has gone.

        Over TCP the thread may be waiting for room in the inbox: close that first.
        """
        self._waking_end.close()
        if self._thread.ident is not None:
            self._thread.join()
        for connection in self._connections.values():
            connection.socket.close()
        self._server.close()
        self._wake_end.close()

    def _serve(self) -> None:
        self._poll.register(self._wake_end.fileno(), select.POLLIN)
        self._poll.register(self._server.fileno(), select.POLLIN)
        while True:
            for number, _ in self._poll.poll():
                if number == self._wake_end.fileno():
                    return
                if number == self._server.fileno():
                    self._accept()
                else:
                    self._read(number)

    def _accept(self) -> None:
        try:
            number, _ = self._server._accept()  # type: ignore[attr-defined]  # the C socket has no other
        except (BlockingIOError, ConnectionAbortedError):
            return  # Gone before we came to it.
        except OSError:
            # No descriptor is left, and the connection waits on: poll would not.
            self._clock.sleep(_NO_DESCRIPTOR_PAUSE_S)
            return
        connection = _socket.socket(fileno=number)
        if len(self._connections) >= MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self._connections[number] = self._connect(connection, self._inbox, self._clock)
        self._poll.register(number, select.POLLIN)

    def _read(self, number: int) -> None:
        # To the end of the line: at its head is who has been silent for longest.
        self._connections[number] = connection = self._connections.pop(number)
        try:
            received = connection.socket.recv(_RECEIVE_BYTES)
        except OSError:
            received = b""
        try:
            is_open = connection.take(received)
        except OSError:
            # The other side has gone, or reads so little that an answer finds no room.
            is_open = False
        if not is_open:
            self._poll.unregister(number)
            del self._connections[number]
            connection.socket.close()
        self._make_room()

    def _make_room(self) -> None:
        """Keep the bound on what is not complete. Whoever has been silent for longest gives way.

        Not whoever comes last: senders that begin and do not end would shut Lambda out for good.
        """
        connections = self._connections.values()
        for connection in connections:
            if sum(each.held_bytes for each in connections) <= MAX_HELD_BYTES:
                return
            if connection.held_bytes:
                connection.give_way()


class _HttpConnection:
    """Posts in, answers out."""

    __slots__ = ("_clock", "_inbox", "_left_to_discard", "_reader", "socket")

    def __init__(self, socket: _socket.socket, inbox: Inbox, clock: Clock) -> None:
        self.socket = socket
        self._inbox = inbox
        self._clock = clock
        self._reader = MessageReader(MAX_BODY_BYTES)
        self._left_to_discard = 0

    @property
    def held_bytes(self) -> int:
        return self._reader.held_bytes

    def give_way(self) -> None:
        """Hold nothing any more: what has come of a post is refused, for now."""
        self._inbox.note_refusal()
        # One that has gone, or reads nothing, is closed when it is read from.
        with suppress(OSError):
            self._refuse(503)

    def take(self, received: bytes) -> bool:
        """Take what has come, nothing if that was all; say whether more may come."""
        if self._left_to_discard > 0:
            self._left_to_discard -= len(received)
            return received != b"" and self._left_to_discard > 0
        try:
            for message in self._reader.feed(received):
                self._put(message)
                if message.wants_close:
                    return False
        except MessageError as exc:
            self._refuse(exc.status)
            return True
        if self._reader.expects_continue:
            self._reader.expects_continue = False
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return received != b""

    def _put(self, message: Message) -> None:
        if message.start_line.partition(" ")[0] not in ("POST", "PUT"):
            self._answer(405, "Allow: POST, PUT\r\n")
        elif self._inbox.put_body(Body(message.body, self._clock.unix_ns())):
            self._answer(200)
        else:
            self._answer(503, "Retry-After: 1\r\n")

    def _refuse(self, status: int) -> None:
        """Answer for the last time. To close while more is coming would take the answer away from the sender.

        https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        """
        self._left_to_discard = MAX_DISCARDED_BYTES
        self._reader = MessageReader(MAX_BODY_BYTES)
        self._answer(status, "Connection: close\r\n")
        self.socket.shutdown(_socket.SHUT_WR)

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

    @property
    def held_bytes(self) -> int:
        return len(self._partial)

    def give_way(self) -> None:
        """Hold nothing any more: hand on what has come of a line. Blocks while the inbox is full."""
        self._put(bytes(self._partial))
        self._partial = bytearray()

    def take(self, received: bytes) -> bool:
        """Take what has come, nothing if that was all; say whether more may come. Blocks while the inbox is full."""
        end_of_line = received.rfind(b"\n") + 1
        if end_of_line:
            self._put(bytes(self._partial) + received[:end_of_line])
            self._partial = bytearray(received[end_of_line:])
        else:
            self._partial += received
        # No line of Lambda's is longer than that. Handed on as it is: whoever decodes keeps it as text.
        if received == b"" or len(self._partial) > MAX_BODY_BYTES:
            self.give_way()
        return received != b""

    def _put(self, lines: bytes) -> None:
        if lines:
            self._inbox.put_body_blocking(Body(lines, self._clock.unix_ns()))


_Connection = _HttpConnection | _TcpConnection
