"""Scenarios in which another process of the environment misuses the port that Lambda posts to."""

import socket
import threading
from contextlib import suppress

import orjson

from tests.chaos.run import Run
from tests.chaos.scenario import Scenario

_HALF = b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n["
_FORGED = orjson.dumps([{"time": "2026-01-01T00:00:00.000Z", "type": "function", "record": "forged"}])
_POST = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(_FORGED), _FORGED)
_INTERVAL_S = 0.005


class _Neighbour:
    """Keeps *connections* open from the moment when the port opens until `stop`, and replaces those that are closed."""

    def __init__(self, port: int, connections: int, *, says: bytes = b"", repeats: bytes = b"") -> None:
        """*says* is sent once on each connection, *repeats* again and again."""
        self._address = ("127.0.0.1", port)
        self._says, self._repeats, self._wanted = says, repeats, connections
        self._clients: list[socket.socket] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        for client in self._clients:
            client.close()

    def _run(self) -> None:
        while not self._stopped.wait(_INTERVAL_S if self._clients else _INTERVAL_S / 50):
            with suppress(OSError):
                while len(self._clients) < self._wanted:
                    client = socket.create_connection(self._address, timeout=5)
                    self._clients.append(client)
                    client.sendall(self._says)
                    client.setblocking(False)
            self._clients = [client for client in self._clients if self._is_open(client)]

    def _is_open(self, client: socket.socket) -> bool:
        try:
            while client.recv(65_536):
                pass
        except BlockingIOError:
            with suppress(OSError):
                client.send(self._repeats)
            return True
        except OSError:
            pass
        client.close()
        return False


def _blocked(run: Run, connections: int, *, says: bytes = b"", repeats: bytes = b"") -> None:
    """Let a neighbour connect before Lambda does."""
    port = _free_port()
    neighbour = _Neighbour(port, connections, says=says, repeats=repeats)
    # Over TCP, whatever another process sends is telemetry.
    protocol = "http" if says or repeats else run.random.choice(["http", "tcp"])
    try:
        with run.environment({"TELEMETRY_FORWARDER_PORT": str(port), "TELEMETRY_FORWARDER_LISTENER": protocol}):
            for _ in range(3):
                run.invoke()
    finally:
        neighbour.stop()
    _check_that_lambda_was_served(run)


def _forged(run: Run) -> None:
    port = _free_port()
    with run.environment({"TELEMETRY_FORWARDER_PORT": str(port)}):
        # After this, the path at which Lambda posts is known.
        run.invoke()
        neighbour = _Neighbour(port, 80, repeats=_POST)
        try:
            for _ in range(3):
                run.invoke(sleep=0.05)
        finally:
            neighbour.stop()
    _check_that_lambda_was_served(run)


def _flooded(run: Run) -> None:
    """Send as much as the port takes, until after SHUTDOWN. Blank lines are posts without a record."""
    port = _free_port()
    stopped = threading.Event()

    def flood() -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            while not stopped.is_set():
                client.sendall(b"\n" * 100)

    senders = [threading.Thread(target=flood) for _ in range(2)]
    try:
        with run.environment({"TELEMETRY_FORWARDER_PORT": str(port), "TELEMETRY_FORWARDER_LISTENER": "tcp"}):
            for _ in range(3):
                run.invoke()
            for sender in senders:
                sender.start()
            run.invoke(sleep=0.3)
    finally:
        stopped.set()
        for sender in senders:
            sender.join()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _check_that_lambda_was_served(run: Run) -> None:
    lines = [key for key in run.emitted() - run.delivered_by_lambda() if not key.startswith("platform.")]
    assert not lines, f"Lambda could not deliver {len(lines)} lines"


PORT = (
    Scenario("idle connections", "300 idle connections from before Lambda's first", lambda run: _blocked(run, 300)),
    Scenario("half posts", "100 posts that never end", lambda run: _blocked(run, 100, says=_HALF)),
    Scenario("slow posts", "100 posts of a byte now and then", lambda run: _blocked(run, 100, repeats=b"P")),
    Scenario("forged posts", "another process posts telemetry on 80 connections", _forged),
    Scenario("flooded shutdown", "another process sends all it can through SHUTDOWN", _flooded),
)
