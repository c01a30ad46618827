"""Finds the proxy for a URL in the variables that all tools share. Pure."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from telemetry_forwarder.endpoints.options import find_first
from telemetry_forwarder.endpoints.urls import has_at_after_host, server_of
from telemetry_forwarder.settings import reject


def find_proxy(url: SplitResult, environ: Mapping[str, str], problems: list[str]) -> str:
    """Return the URL of the proxy for *url*, or "" for none; append one sentence to *problems* if it is invalid.

    Names in lower case win, as with curl. Loopback never has a proxy: none could reach it.
    """
    host, port = server_of(url)
    name_for_scheme = f"{url.scheme}_proxy"
    name, value = find_first(environ, name_for_scheme, name_for_scheme.upper(), "all_proxy", "ALL_PROXY")
    if not value or _is_loopback(host) or _is_exempt(host, port, environ, problems):
        return ""
    proxy = value if "://" in value else f"http://{value}"
    if _is_supported(proxy):
        return proxy
    reject(problems, name, "is not the http:// URL of a proxy", "no proxy")
    return ""


def _is_supported(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    # TLS to the proxy, with TLS to the endpoint inside, is not supported.
    return parts.scheme == "http" and is_complete and proxy.isascii() and not has_at_after_host(parts)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_exempt(host: str, port: int, environ: Mapping[str, str], problems: list[str]) -> bool:
    """Return whether NO_PROXY contains the host, a parent domain, its network, or `*` for all."""
    name, value = find_first(environ, "no_proxy", "NO_PROXY")
    matches = [_matches(entry.strip(), host, port) for entry in value.lower().split(",")]
    if None in matches:
        complaint = f"entry {matches.index(None) + 1} has an invalid port or network"
        reject(problems, name, complaint, "the other entries")
    return any(matches)


def _matches(entry: str, host: str, port: int) -> bool | None:
    """Return whether *entry* is for *host* and *port*; None if it is not valid."""
    if "/" in entry:
        return _is_in_network(host, entry)
    name, colon, entry_port = entry.rpartition(":")
    if colon and ":" not in name:
        # Compared as text: not everything that is a digit is a number, and a number may be too long for `int`.
        if not (entry_port.isascii() and entry_port.isdigit()):
            return None
        if entry_port.lstrip("0") != str(port):
            return False
        entry = name
    domain = entry.removeprefix("*").removeprefix(".").strip("[]")
    return entry == "*" or (bool(domain) and (host == domain or host.endswith(f".{domain}")))


def _is_in_network(host: str, entry: str) -> bool | None:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
