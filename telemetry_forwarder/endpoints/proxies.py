"""Knows which proxy, if any, stands before a URL, by the variables that all tools share. Pure."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}


def proxy_for(url: SplitResult, environ: Mapping[str, str], problems: list[str]) -> str:
    """The proxy's URL for *url*, or "" for none; what is wrong is added to *problems*, once.

    Names in lower case win, as with curl. Loopback has never a proxy: none could reach it.
    """
    host = url.hostname or ""
    name, value = _given(environ, f"{url.scheme}_proxy", "all_proxy")
    if not value or _is_loopback(host) or _is_exempt(host, url.port or _PORTS[url.scheme], environ):
        return ""
    proxy = value if "://" in value else f"http://{value}"
    if _is_proxy(proxy):
        return proxy
    problem = f"{name}: is not the http:// URL of a proxy; taken instead: no proxy"
    if problem not in problems:
        problems.append(problem)
    return ""


def _given(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    for name in names:
        for spelling in (name, name.upper()):
            if value := environ.get(spelling, "").strip():
                return spelling, value
    return "", ""


def _is_proxy(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        # What looks like the host before a late @ may be the start of a password with a `/`, `?` or `#` in it.
        has_late_at = "@" in f"{parts.path}{parts.query}{parts.fragment}"
        is_whole = bool(parts.hostname) and proxy.isascii() and not has_late_at
        # To speak TLS with a proxy, and inside of it with the endpoint, is not supported.
        return parts.scheme == "http" and is_whole and parts.port != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_exempt(host: str, port: int, environ: Mapping[str, str]) -> bool:
    """Whether NO_PROXY names the host: itself, a domain above it, its network, or `*` for all."""
    entries = _given(environ, "no_proxy")[1].lower().split(",")
    return any(_covers(entry.strip(), host, port) for entry in entries)


def _covers(entry: str, host: str, port: int) -> bool:
    if "/" in entry:
        return _is_in_network(host, entry)
    name, colon, wanted_port = entry.rpartition(":")
    if colon and wanted_port.isdigit() and ":" not in name:
        if int(wanted_port) != port:
            return False
        entry = name
    domain = entry.removeprefix("*").removeprefix(".").strip("[]")
    return entry == "*" or (bool(domain) and (host == domain or host.endswith(f".{domain}")))


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
