"""Makes TLS contexts for outbound connections: trusted authorities and the client certificate."""

import os
import ssl
from collections.abc import Sequence

from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint

# From a folder OpenSSL loads only the authority that it needs. All authorities of a file are parsed in advance, which
# takes many times as long.
_FOLDERS = ("/etc/ssl/certs", "/etc/pki/ca-trust/extracted/pem/directory-hash")
_FILES = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt")


def tls_context(
    endpoint: Endpoint, log: Diagnostics, *, folders: Sequence[str] = _FOLDERS, files: Sequence[str] = _FILES
) -> "ssl.SSLContext":
    """Return a context that trusts the endpoint's certificate, or the system's authorities if it has none.

    A file that cannot be used is logged and ignored; servers are always verified.
    """
    context = _from_file(endpoint, log) or _from_system(folders, files)
    if chain := endpoint.client_certificate:
        try:
            context.load_cert_chain(chain, endpoint.client_key or None, password=_no_password)
        except (OSError, ValueError) as exc:
            names = _names(endpoint, "CLIENT_CERTIFICATE", *(("CLIENT_KEY",) if endpoint.client_key else ()))
            log.warn(f"{names}client certificate {chain[:200]!r} cannot be used and is ignored: {exc}")
    return context


def _from_file(endpoint: Endpoint, log: Diagnostics) -> "ssl.SSLContext | None":
    if certificate := endpoint.certificate:
        try:
            return ssl.create_default_context(cafile=certificate)
        except OSError as exc:
            names, shown = _names(endpoint, "CERTIFICATE"), certificate[:200]
            log.warn(f"{names}certificate {shown!r} cannot be used, so the system's authorities are trusted: {exc}")
    return None


def _names(endpoint: Endpoint, *options: str) -> str:
    """Return the beginning of a log line about the variables that set *options*."""
    names = [endpoint.variables[option] for option in options if option in endpoint.variables]
    return f"{', '.join(names)}: " if names else ""


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
