"""Names with several addresses, and addresses behind which there is nothing."""

import ctypes
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from telemetry_forwarder.transport.resolver import Resolver

# https://man7.org/linux/man-pages/man2/unshare.2.html and mount.2.html
_CLONE_NEWNS, _CLONE_FS = 0x20000, 0x200
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000


def resolver(*ports: int) -> Resolver:
    """Return a resolver that resolves every name to these ports of this machine, in this order."""

    def resolve(host: str, port: int, flags: int) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    return Resolver(resolve)


@contextmanager
def unresponsive(address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[int]:
    """Neither accept nor refuse connections to *address*, as behind a firewall; yield its port."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(address, family=family, backlog=0))
        # Linux ignores connections while the queue is full.
        for _ in range(3):
            client = stack.enter_context(socket.socket(family))
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        yield int(listening.getsockname()[1])


@contextmanager
def name_of_both_loopbacks() -> Iterator[str]:
    """Yield a name that resolves to ::1 and 127.0.0.1 in the processes that this thread starts.

    Without the permission for that, yield "localhost", which may have one address only.
    """
    libc = ctypes.CDLL(None)
    with tempfile.NamedTemporaryFile("w") as hosts, open("/proc/thread-self/ns/mnt") as outside:
        hosts.write("::1 collector.test\n127.0.0.1 collector.test localhost\n")
        hosts.flush()
        # The extension may run as another user.
        os.chmod(hosts.name, 0o644)
        if os.geteuid() != 0 or libc.unshare(_CLONE_NEWNS | _CLONE_FS):
            yield "localhost"
            return
        try:
            libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None)
            is_mounted = not libc.mount(hosts.name.encode(), b"/etc/hosts", None, _MS_BIND, None)
            yield "collector.test" if is_mounted else "localhost"
        finally:
            libc.setns(outside.fileno(), _CLONE_NEWNS)
