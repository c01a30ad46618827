"""Receives Lambda's requests over HTTP or TCP and puts their bodies into the inbox without looking at them.

One thread serves all connections and waits in `poll` without a timeout, so an idle listener uses no CPU. It
responds with 200 once a body is in the inbox, 503 if there is no room (Lambda sends it again) and 4xx to invalid
or too large requests. The content is never validated, because Lambda would send a refused post again forever.

Any process of the environment can connect. If there are too many connections, one that has delivered no telemetry is
closed for the new one. Once a post has arrived at the path of the subscription, posts to other paths get 404.
"""

import _socket
import select
import threading

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.receiver.connections import (
    MAX_BODY_BYTES,
    RECEIVE_BYTES,
    HttpConnection,
    SubscribedPath,
    TcpConnection,
)
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.startup.threads import start_thread

MAX_CONNECTIONS = 64
# Incomplete requests of all connections together. Lambda itself uses one or two connections.
MAX_HELD_BYTES = 4 * MAX_BODY_BYTES
_SHORTAGE_PAUSE_S = 0.02


class Listener:
    """Serves a port in its own thread until `close`."""

    def __init__(self, protocol: str, server: _socket.socket, inbox: Inbox, clock: Clock, *, path: str = "") -> None:
        """*protocol* is `http` or `tcp`. *server* already listens; the listener owns it from now on.

        *path* is that of the subscription; without one, any is accepted. TCP has none.
        """
        self._connect = TcpConnection if protocol == "tcp" else HttpConnection
        self._server = server
        self._path = SubscribedPath(path)
        self._server.setblocking(False)
        self._inbox = inbox
        self._clock = clock
        self._connections: dict[int, HttpConnection | TcpConnection] = {}
        self._poll = select.poll()
        self._wake_end, self._waking_end = _socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)

    def start(self) -> None:
        """Start the thread, if it has not started yet. Raises `ThreadStartError`."""
        start_thread(self._thread)

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
        is_open = True
        while is_open:
            try:
                is_open = self._serve_once()
            except MemoryError:
                # Lambda sends again what has got no response.
                self._clock.sleep(_SHORTAGE_PAUSE_S)

    def _serve_once(self) -> bool:
        """Wait, and serve every connection that is ready; return False after `close`."""
        is_accepting = False
        for number, _ in self._poll.poll():
            if number == self._wake_end.fileno():
                return False
            if number == self._server.fileno():
                # Last: a new connection may close another one, which must not be one that has just sent a post.
                is_accepting = True
            else:
                self._read(number)
        if is_accepting:
            self._accept()
        return True

    def _accept(self) -> None:
        try:
            number, _ = self._server._accept()  # type: ignore[attr-defined]  # `_socket` has no public one
        except (BlockingIOError, ConnectionAbortedError):
            return  # The client has closed the connection again.
        except (OSError, MemoryError):
            # No descriptor or memory is free. The connection stays in the queue, so `poll` would return at once.
            if not self._close_idlest(even_of_lambda=False):
                self._clock.sleep(_SHORTAGE_PAUSE_S)
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            self._close_idlest(even_of_lambda=True)
        connection = _socket.socket(fileno=number)
        connection.setblocking(False)
        self._connections[number] = self._connect(connection, self._inbox, self._clock, self._path)
        self._poll.register(number, select.POLLIN)

    def _close_idlest(self, *, even_of_lambda: bool) -> bool:
        """Close the connection that has been silent for longest; one that has delivered telemetry last, or never."""
        connections = self._connections
        number = min(connections, key=lambda each: connections[each].has_delivered, default=None)
        if number is None or (connections[number].has_delivered and not even_of_lambda):
            return False
        self._end(number)
        return True

    def _end(self, number: int) -> None:
        self._poll.unregister(number)
        self._connections.pop(number).close()

    def _read(self, number: int) -> None:
        # Move it to the end: the first connection is the one that has been silent for longest.
        self._connections[number] = connection = self._connections.pop(number)
        try:
            received = connection.socket.recv(RECEIVE_BYTES)
        except (OSError, MemoryError):
            received = b""
        try:
            is_open = connection.receive(received)
        except (OSError, MemoryError):
            # The client is gone, does not read its responses, or posts more than there is memory for: it tries again.
            is_open = False
        if not is_open:
            self._end(number)
        elif connection.held_bytes:
            self._make_room()

    def _make_room(self) -> None:
        """Keep the bound on incomplete requests: release those of connections that were silent for longest.

        The newest request is not the one to refuse: senders that never finish would lock Lambda out.
        """
        connections = self._connections.values()
        if sum(each.held_bytes for each in connections) <= MAX_HELD_BYTES:
            return
        for connection in sorted(connections, key=lambda each: each.has_delivered):
            if connection.held_bytes:
                connection.release_partial()
            if sum(each.held_bytes for each in connections) <= MAX_HELD_BYTES:
                return
