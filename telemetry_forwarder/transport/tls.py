"""Makes the TLS contexts of outbound connections: whom we trust, and as whom we come."""

import os
import ssl
from collections.abc import Sequence

from telemetry_forwarder.diagnostics import Diagnostics

# OpenSSL looks a single authority up in such a folder when it needs it. The same authorities in one file
# are all parsed in advance, which costs 25 ms of CPU here, against 0.6 ms for the folder.
_FOLDERS = ("/etc/ssl/certs", "/etc/pki/ca-trust/extracted/pem/directory-hash")
_FILES = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt")


def tls_context(
    certificate: str,
    client_key: str,
    client_certificate: str,
    log: Diagnostics,
    *,
    folders: Sequence[str] = _FOLDERS,
    files: Sequence[str] = _FILES,
) -> "ssl.SSLContext":
    """A context that verifies servers by *certificate*, or by the system's authorities where it is empty.

    A file that cannot be used is said, and costs itself: verification is never given up.
    """
    context = _given(certificate, log) or _system(folders, files)
    if client_certificate:
        try:
            context.load_cert_chain(client_certificate, client_key or None, password=_no_password)
        except (OSError, ValueError) as exc:
            log.warn(f"client certificate {client_certificate!r}: {exc}; taken instead: none")
    return context


def _given(certificate: str, log: Diagnostics) -> "ssl.SSLContext | None":
    if certificate:
        try:
            return ssl.create_default_context(cafile=certificate)
        except OSError as exc:
            log.warn(f"certificate {certificate!r}: {exc}; taken instead: the system's authorities")
    return None


def _system(folders: Sequence[str], files: Sequence[str]) -> "ssl.SSLContext":
    for folder in filter(_is_hashed, folders):
        return ssl.create_default_context(capath=folder)
    for file in filter(os.path.exists, files):
        return ssl.create_default_context(cafile=file)
    # Only where the system has none: it is 2 ms of imports.
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _is_hashed(folder: str) -> bool:
    """Whether files in *folder* are named as OpenSSL looks for them: eight digits, `.0`."""
    try:
        return any(len(name) == 10 and name.endswith(".0") for name in os.listdir(folder))
    except OSError:
        return False


def _no_password() -> str:
    # Without this an encrypted key would be asked for on the terminal, for ever.
    raise ValueError("the key is encrypted")
