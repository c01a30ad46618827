"""Receives Lambda's requests over HTTP or TCP and puts their bodies into the inbox without looking at them.

One thread serves all connections and waits in `poll` without a timeout, so an idle listener uses no CPU. It
responds with 200 once a body is in the inbox, 503 if there is no room (Lambda sends it again) and 4xx to invalid
or too large requests. The content is never validated, because Lambda would send a refused post again forever.
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

# A post can be twice as large as the subscription's maxBytes, plus metadata: just over 2 MB.
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html#telemetry-api-buffering
MAX_BODY_BYTES = 4_194_304
MAX_CONNECTIONS = 64
# Incomplete requests of all connections together. Lambda itself uses one or two connections.
MAX_HELD_BYTES = 4 * MAX_BODY_BYTES
# How much is still read and discarded from a sender that was refused, until it reads the response.
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
    """Serves a port in its own thread until `close`."""

    def __init__(self, protocol: str, server: _socket.socket, inbox: Inbox, clock: Clock) -> None:
        """*protocol* is `http` or `tcp`. *server* already listens; the listener owns it from now on."""
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
        """Stop receiving, and return when the thread has ended.

        Close the inbox first: over TCP the thread may be waiting for room in it.
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
            number, _ = self._server._accept()  # type: ignore[attr-defined]  # `_socket` has no public one
        except (BlockingIOError, ConnectionAbortedError):
            return  # The client has closed the connection again.
        except OSError:
            # No descriptor is free. The connection stays in the queue, so `poll` would return at once.
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
        # Move it to the end: the first connection is the one that has been silent for longest.
        self._connections[number] = connection = self._connections.pop(number)
        try:
            received = connection.socket.recv(_RECEIVE_BYTES)
        except OSError:
            received = b""
        try:
            is_open = connection.receive(received)
        except OSError:
            # The client is gone, or does not read its responses.
            is_open = False
        if not is_open:
            self._poll.unregister(number)
            del self._connections[number]
            connection.socket.close()
        self._make_room()

    def _make_room(self) -> None:
        """Keep the bound on incomplete requests: release those of connections that were silent for longest.

        The newest request is not the one to refuse: senders that never finish would lock Lambda out.
        """
        connections = self._connections.values()
        for connection in connections:
            if sum(each.held_bytes for each in connections) <= MAX_HELD_BYTES:
                return
            if connection.held_bytes:
                connection.release_partial()


class _HttpConnection:
    """Receives posts and responds to each."""

    def __init__(self, socket: _socket.socket, inbox: Inbox, clock: Clock) -> None:
        self.socket = socket
        self._inbox = inbox
        self._clock = clock
        self._reader = MessageReader(MAX_BODY_BYTES)
        self._left_to_discard = 0

    @property
    def held_bytes(self) -> int:
        return self._reader.held_bytes

    def release_partial(self) -> None:
        """Refuse the post that is incomplete; the sender may try again later."""
        self._inbox.note_refusal()
        # A broken connection is closed when it is read from.
        with suppress(OSError):
            self._refuse(503)

    def receive(self, received: bytes) -> bool:
        """Process received bytes, none at the end of the stream; return whether more can follow."""
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
            self._respond(405, "Allow: POST, PUT\r\n")
        elif self._inbox.put_body(Body(message.body, self._clock.unix_ns())):
            self._respond(200)
        else:
            self._respond(503, "Retry-After: 1\r\n")

    def _refuse(self, status: int) -> None:
        """Send the last response. Closing while the sender is still sending could destroy the response.

        https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        """
        self._left_to_discard = MAX_DISCARDED_BYTES
        self._reader = MessageReader(MAX_BODY_BYTES)
        self._respond(status, "Connection: close\r\n")
        self.socket.shutdown(_socket.SHUT_WR)

    def _respond(self, status: int, fields: str = "") -> None:
        # Short enough for the socket's buffer, unless the client does not read at all: then this raises OSError,
        # and the connection is closed.
        response = f"HTTP/1.1 {status} {_REASONS[status]}\r\n{fields}Content-Length: 0\r\n\r\n"
        self.socket.sendall(response.encode("ascii"))


class _TcpConnection:
    """Receives lines. TCP cannot refuse anything, so a full inbox makes Lambda wait instead."""

    def __init__(self, socket: _socket.socket, inbox: Inbox, clock: Clock) -> None:
        self.socket = socket
        self._inbox = inbox
        self._clock = clock
        self._partial = bytearray()

    @property
    def held_bytes(self) -> int:
        return len(self._partial)

    def release_partial(self) -> None:
        """Put the incomplete line into the inbox. Blocks while the inbox is full."""
        self._put(bytes(self._partial))
        self._partial = bytearray()

    def receive(self, received: bytes) -> bool:
        """Process received bytes, none at the end; return whether more can follow. Blocks while the inbox is full."""
        end_of_line = received.rfind(b"\n") + 1
        if end_of_line:
            self._put(bytes(self._partial) + received[:end_of_line])
            self._partial = bytearray(received[end_of_line:])
        else:
            self._partial += received
        # Lambda sends no line longer than that. The decoder keeps the part as text.
        if received == b"" or len(self._partial) > MAX_BODY_BYTES:
            self.release_partial()
        return received != b""

    def _put(self, lines: bytes) -> None:
        if lines:
            self._inbox.put_body_blocking(Body(lines, self._clock.unix_ns()))


_Connection = _HttpConnection | _TcpConnection
