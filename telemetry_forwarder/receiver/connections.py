"""The connections of the listener: each reads requests, puts their bodies into the inbox, and responds."""

import _socket
from contextlib import suppress

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.errors import MessageError
from telemetry_forwarder.http1 import Message, MessageReader
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body

# A post can be twice as large as the subscription's maxBytes, plus metadata: just over 2 MB.
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html#telemetry-api-buffering
MAX_BODY_BYTES = 4_194_304
# Lambda cuts records after about 256 KiB, of which each byte can be an escape of six. To convert a line takes several
# times its size.
MAX_LINE_BYTES = 2_097_152
# What is read from a socket at once.
RECEIVE_BYTES = 262_144
# Over TCP, the lines that one read completes.
MAX_POST_BYTES = MAX_BODY_BYTES + RECEIVE_BYTES
# How much is still read and discarded from a sender that was refused, until it reads the response.
MAX_DISCARDED_BYTES = 67_108_864

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class SubscribedPath:
    """The path that Lambda was asked to post to. No other process of the environment can guess it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.is_used = False
        """Whether a post has arrived there. Until then Lambda may be a service that drops the path."""

    def accepts(self, target: str) -> bool:
        """Return whether a post to *target* may be Lambda's."""
        # The target may also be an absolute URI, or have a query.
        if self._path in target:
            self.is_used = True
            return True
        return not self.is_used


class HttpConnection:
    """Receives posts and responds to each."""

    def __init__(self, socket: _socket.socket, inbox: Inbox, clock: Clock, path: SubscribedPath) -> None:
        self.socket = socket
        self._inbox = inbox
        self._clock = clock
        self._path = path
        self._has_posted = self._has_posted_there = False
        self._reader = MessageReader(MAX_BODY_BYTES)
        self._left_to_discard = 0

    @property
    def held_bytes(self) -> int:
        return self._reader.held_bytes

    @property
    def has_delivered(self) -> bool:
        """Whether this may be Lambda's connection: its telemetry was accepted, and would be now."""
        return self._has_posted_there or (self._has_posted and not self._path.is_used)

    def close(self) -> None:
        self.socket.close()

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
        method, _, target = message.start_line.partition(" ")
        if method not in ("POST", "PUT"):
            self._respond(405, "Allow: POST, PUT\r\n")
        elif not self._path.accepts(target):
            self._inbox.foreign_posts += 1
            self._respond(404)
        elif self._inbox.put_body(Body(message.body, self._clock.unix_ns())):
            self._has_posted, self._has_posted_there = True, self._path.is_used
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


class TcpConnection:
    """Receives lines. TCP cannot refuse anything, so a full inbox makes Lambda wait instead."""

    def __init__(self, socket: _socket.socket, inbox: Inbox, clock: Clock, path: SubscribedPath) -> None:
        """*path* is not used: in TCP there is none."""
        self.socket = socket
        self._inbox = inbox
        self._clock = clock
        self._partial = bytearray()
        self.has_delivered = False
        """Whether a whole line came from here: this may be Lambda's connection."""

    @property
    def held_bytes(self) -> int:
        return len(self._partial)

    def close(self) -> None:
        """Put the incomplete line into the inbox, and close. Blocks while the inbox is full."""
        self.release_partial()
        self.socket.close()

    def release_partial(self) -> None:
        """Put the incomplete line into the inbox. Blocks while the inbox is full."""
        self._put(bytes(self._partial))
        self._partial = bytearray()

    def receive(self, received: bytes) -> bool:
        """Process received bytes, none at the end; return whether more can follow. Blocks while the inbox is full."""
        end_of_line = received.rfind(b"\n") + 1
        if end_of_line:
            self.has_delivered = True
            self._put(bytes(self._partial) + received[:end_of_line])
            self._partial = bytearray(received[end_of_line:])
        else:
            self._partial += received
        # The decoder keeps the part of a longer line as text.
        if received == b"" or len(self._partial) > MAX_LINE_BYTES:
            self.release_partial()
        return received != b""

    def _put(self, lines: bytes) -> None:
        if lines:
            self._inbox.put_body_blocking(Body(lines, self._clock.unix_ns()))
