"""Makes TLS contexts for outbound connections: trusted authorities and the client certificate."""

import os
import ssl
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.startup.threads import start_thread
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.outcome import FailureKind, RequestError

# From a folder OpenSSL loads only the authority that it needs. All authorities of a file are parsed in advance, which
# takes many times as long.
_FOLDERS = ("/etc/ssl/certs", "/etc/pki/ca-trust/extracted/pem/directory-hash")
_FILES = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt")
# The only folder of an environment that can be written to.
_COPIES = "/tmp"  # noqa: S108
# The largest bundles of authorities have a few hundred kilobytes.
_MAX_FILE_BYTES = 16_777_216
_MAX_READ_S = 2.0


class ContextReader:
    """Makes the context of an endpoint with files, once, in a thread of its own: they may never answer.

    For example, a named pipe without a writer, or a file in a file system that hangs.
    """

    def __init__(self, endpoint: Endpoint, log: Diagnostics, clock: Clock | None = None) -> None:
        self._endpoint = endpoint
        self._log = log
        self._context: ssl.SSLContext | None = None
        self._problem = "no certificate has been read yet"
        """What is being read, or why it has failed."""
        self._is_done = Latch()
        self._until = Deadline.after(_MAX_READ_S, clock or Clock())
        self._thread = threading.Thread(target=self._read, name="certificates", daemon=True)
        # Otherwise the first request tries again.
        with suppress(ThreadStartError):
            start_thread(self._thread)

    def context(self, attempt: Attempt) -> "ssl.SSLContext":
        """Return the context. Blocks until 2 s after the start at most; raises `RequestError`."""
        try:
            start_thread(self._thread)
        except ThreadStartError as exc:
            raise RequestError(FailureKind.UNTRUSTED, str(exc)) from exc
        # The file is the reason also if the time of the request is up.
        with suppress(RequestError):
            while not self._is_done.wait(min(attempt.slice_s(), self._until.left_s())) and not self._until.is_over():
                pass
        if self._context is None:
            raise RequestError(FailureKind.UNTRUSTED, self._problem)
        return self._context

    def _read(self) -> None:
        try:
            self._context = tls_context(self._endpoint, self._log, on_read=self._note)
        except Exception as exc:  # noqa: BLE001  # the senders wait for this thread
            self._problem = f"TLS cannot be set up: {type(exc).__name__}: {exc}"
        self._is_done.set()

    def _note(self, file: str) -> None:
        self._problem = f"{file} has not been read yet"


def tls_context(
    endpoint: Endpoint,
    log: Diagnostics,
    *,
    on_read: Callable[[str], object] = str,
    folders: Sequence[str] = _FOLDERS,
    files: Sequence[str] = _FILES,
) -> "ssl.SSLContext":
    """Return a context that trusts the endpoint's certificate, or the system's authorities if it has none.

    A file that cannot be used is logged and ignored; servers are always verified. Blocks as long as a file does not
    answer; before, calls *on_read* with its description.
    """
    context = None
    if certificate := endpoint.certificate:
        named = _named(endpoint, "certificate", certificate, "CERTIFICATE")
        on_read(named)
        try:
            with _readable(certificate) as readable:
                context = ssl.create_default_context(cafile=readable)
        except OSError as exc:
            log.warn(f"{named} cannot be used, so the system's authorities are trusted: {exc}")
    context = context or _from_system(folders, files)
    if chain := endpoint.client_certificate:
        key = endpoint.client_key or chain
        options = ("CLIENT_CERTIFICATE", "CLIENT_KEY") if endpoint.client_key else ("CLIENT_CERTIFICATE",)
        named = _named(endpoint, "client certificate", chain, *options)
        on_read(named)
        try:
            with ExitStack() as copies:
                chain_copy = copies.enter_context(_readable(chain))
                # A pipe can be read only once.
                key_copy = chain_copy if key == chain else copies.enter_context(_readable(key))
                context.load_cert_chain(chain_copy, key_copy, password=_no_password)
        except (OSError, ValueError) as exc:
            log.warn(f"{named} cannot be used and is ignored: {exc}")
    return context


def _named(endpoint: Endpoint, kind: str, path: str, *options: str) -> str:
    """Return the beginning of a log line about a file: the variables that set *options*, and the path."""
    # The certificate or the key itself may have been set by mistake.
    shown = "'***'" if "-----" in path else repr(path[:200])
    names = [endpoint.variables[option] for option in options if option in endpoint.variables]
    return f"{', '.join(names)}{': ' if names else ''}{kind} {shown}"


@contextmanager
def _readable(path: str) -> Iterator[str]:
    """Yield a path that OpenSSL reads instead of *path*: a copy if that may have no end. Blocks; raises `OSError`."""
    try:
        status = os.stat(path)
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise OSError(None, "it is a device")
        contents = b""
        # Of a pipe, and of some files of the kernel, the size is not known. OpenSSL would read them without a limit.
        is_endless = not stat.S_ISDIR(status.st_mode) and not status.st_size
        if is_endless:
            with open(path, "rb") as file:
                contents = file.read(_MAX_FILE_BYTES + 1)
        if max(status.st_size, len(contents)) > _MAX_FILE_BYTES:
            raise OSError(None, f"it is larger than {_MAX_FILE_BYTES} bytes")
    except OSError as exc:
        # Without the path, which the line contains already.
        raise OSError(*filter(None, (exc.errno, exc.strerror))) from exc
    if not is_endless:
        yield path
        return
    # Without a name, so that nobody else reads it. `memfd_create` is newer than the C library of the layer.
    with open(os.open(_COPIES, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), "wb") as copy:
        copy.write(contents)
        copy.flush()
        yield f"/proc/self/fd/{copy.fileno()}"


def _from_system(folders: Sequence[str], files: Sequence[str]) -> "ssl.SSLContext":
    for folder in filter(_is_hashed, folders):
        return ssl.create_default_context(capath=folder)
    for file in filter(os.path.exists, files):
        return ssl.create_default_context(cafile=file)
    # Imported here: it takes long, and most systems have authorities.
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _is_hashed(folder: str) -> bool:
    """Return whether files in *folder* are named as OpenSSL expects: eight digits and `.0`."""
    try:
        return any(len(name) == 10 and name.endswith(".0") for name in os.listdir(folder))
    except OSError:
        return False


def _no_password() -> str:
    # Without this OpenSSL would wait for a password on the terminal.
    raise ValueError("the key is encrypted")
