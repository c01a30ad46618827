"""The port that Lambda sends telemetry to, open before anybody serves it: what comes waits in the kernel.

By that, the thread that serves it, and all that threads need, can start when the first `next` is on its way.
"""

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_forwarder.diagnostics import Diagnostics

_BACKLOG = 128


def opened_port(port: int, log: "Diagnostics") -> _socket.socket:
    """A socket that listens on *port*; if that is taken, a warning and a socket on any free one. 0 is any."""
    try:
        return _listening(port)
    except OSError as exc:
        log.warn(
            f"TELEMETRY_FORWARDER_PORT: port {port} cannot be had ({exc.strerror}); taken instead: any free one"
        )
        return _listening(0)


def _listening(port: int) -> _socket.socket:
    server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    # A second life in the same environment must not wait for the first one's connections to be forgotten.
    server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        # Every interface: Lambda's `sandbox.localdomain` and its emulators' 127.0.0.1 are not the same everywhere.
        server.bind(("0.0.0.0", port))
        server.listen(_BACKLOG)
    except OSError:
        server.close()
        raise
    return server
