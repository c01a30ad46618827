"""Waits for the start and the end of a receiver that is a program of its own."""

import socket
import subprocess
import time

_START_LIMIT_S = 60.0
_END_LIMIT_S = 30.0


def is_listening(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until *process* accepts connections on *port*; return False if it has ended."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.005)  # It does not report when it listens.
        else:
            return True
    return False


def end(process: "subprocess.Popen[bytes]") -> None:
    """Terminate *process*; kill it if it does not end."""
    process.terminate()
    try:
        process.wait(_END_LIMIT_S)
    finally:
        process.kill()
        process.wait()
