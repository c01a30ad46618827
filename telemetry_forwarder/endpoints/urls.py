"""Parses HTTP URLs and separates their credentials from what may be logged. Pure."""

import ipaddress
import re
from binascii import b2a_base64
from urllib.parse import SplitResult, quote, unquote, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f.]*:[0-9a-f:.]*")
_FOUR_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){3}")
# Not by `ipaddress`, which is a large module that most environments do not need.
_IPV4_ADDRESS = re.compile(r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?!$)|$)){4}")
# Certainly a host and not half of a password, so an @ may follow in the path.
_PLAIN_HOST = re.compile(r"localhost|[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
_SCHEMELESS = re.compile(r"([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*|\[[0-9a-f:.]+\])(:[0-9]+)?(?:/[^@?#\s]*)?")
# A key or a token that was set as the URL by mistake must not be looked up in DNS.
_RECOGNISED_HOST = re.compile(r"localhost|\[.*|[0-9]+(\.[0-9]+){3}|.*\.[a-z]{2,24}")
_PRIVATE_NAME = re.compile(r"[^.]+|.*\.(local|localhost|internal)")
_URL_PARTS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)([^/?#]*)(.*)", re.DOTALL)


def parse_url(text: str) -> SplitResult | None:
    """Return *text* as a URL of plain ASCII without fragment, or None if it is not an HTTP URL.

    Also None if its apparent host may be the start of a password that contains `/`, `?` or `#`.
    """
    try:
        # Bytes that are not UTF-8 are lone surrogates here.
        text.encode()
        url = urlsplit(text)
        host = url.hostname or ""
        # Only if needed: importing the codec takes 2 ms.
        host = host if host.isascii() else host.encode("idna").decode()
        port = url.port
    except ValueError:
        return None
    if _FOUR_NUMBERS.fullmatch(host) and not _IPV4_ADDRESS.fullmatch(host):
        return None
    may_split_password = has_at_after_host(url) and not (url.path and _PLAIN_HOST.fullmatch(url.netloc))
    if url.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host) or may_split_password:
        return None
    userinfo, at, _ = url.netloc.rpartition("@")
    host = f"[{host}]" if ":" in host else host
    return url._replace(
        netloc=f"{userinfo}{at}{host}" + ("" if port is None else f":{port}"),
        path=quote(url.path, safe="/%:@!$&'()*+,;=~"),
        query=quote(url.query, safe="/%:@!$&'()*+,;=~?"),
        fragment="",
    )


def add_scheme(text: str) -> str:
    """Return `host[:port][/path]` with the scheme that is most likely meant; any other *text* unchanged."""
    match = _SCHEMELESS.fullmatch(text)
    if not match or not (match[2] or _RECOGNISED_HOST.fullmatch(match[1])):
        return text
    # Plain HTTP only within a private network: the headers are secret.
    is_plain = _is_private(match[1]) and match[2] != ":443"
    return f"{'http' if is_plain else 'https'}://{text}"


def has_at_after_host(url: SplitResult) -> bool:
    """Return whether an @ follows the host, which may then be the start of a password that contains `/`, `?` or `#`."""
    return "@" in f"{url.path}{url.query}{url.fragment}"


def host_and_port(url: SplitResult) -> str:
    """Return the authority of *url* without credentials."""
    return url.netloc.rpartition("@")[2]


def server_of(url: SplitResult) -> tuple[str, int]:
    """Return the host and the number of the port."""
    return url.hostname or "", url.port or _DEFAULT_PORTS[url.scheme]


def authorization_header(url: SplitResult) -> dict[str, str]:
    """Return the header for the credentials in *url*; empty if there are none."""
    if not (url.username or url.password):
        return {}
    credentials = f"{unquote(url.username or '')}:{unquote(url.password or '')}".encode()
    return {"authorization": f"Basic {b2a_base64(credentials, newline=False).decode()}"}


def redact_url(text: str) -> str:
    """Return *text*, which may be any text, without anything that could be a credential; "" without a scheme."""
    match = _URL_PARTS.fullmatch(re.sub(r"[\t\r\n]", "", text))
    if not match:
        return ""
    scheme, netloc, rest = match.groups()
    if "@" in rest:
        return f"{scheme}***"
    path = rest.partition("?")[0].partition("#")[0]
    return f"{scheme}{netloc.rpartition('@')[2]}{path}"[:200]


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return bool(_PRIVATE_NAME.fullmatch(host))
