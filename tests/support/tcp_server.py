"""A TCP server whose connections a test handles itself."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def tcp_server(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """Call *serve* for one connection after the other; yield the server's URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                # The client may close it at any time.
                with connection, suppress(OSError):
                    serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def responds(data: bytes) -> Callable[[socket.socket], None]:
    """Return a handler that reads a request of one packet and responds with *data*."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(data)

    return serve


def resets(connection: socket.socket) -> None:
    """Reset the connection after the first byte."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def tunnels(client: socket.socket) -> None:
    """Do what a proxy does on CONNECT."""
    target = client.recv(65_536).split()[1].decode()
    host, _, port = target.partition(":")
    _tunnel(client, (host, int(port)))


def tunnels_to(port: int) -> Callable[[socket.socket], None]:
    """Return a proxy that connects to *port* of this machine, whatever is wanted."""

    def serve(client: socket.socket) -> None:
        client.recv(65_536)
        _tunnel(client, ("127.0.0.1", port))

    return serve


def _tunnel(client: socket.socket, target: tuple[str, int]) -> None:
    with socket.create_connection(target) as upstream:
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(upstream, client))
        back.start()
        _pump(client, upstream)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    # One of the two may close at any time, and what is reset has ended, too.
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
