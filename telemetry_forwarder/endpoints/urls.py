"""Takes HTTP URLs apart: what can be sent, what is a secret, what may be shown. Pure."""

import ipaddress
import re
from binascii import b2a_base64
from urllib.parse import SplitResult, quote, unquote, urlsplit

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f.]*:[0-9a-f:.]*")
# Beyond doubt a host and no half of a password, so that an @ may follow in the path.
_PLAIN_HOST = re.compile(r"localhost|[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
_SCHEMELESS = re.compile(r"([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*|\[[0-9a-f:.]+\])(:[0-9]+)?(?:/[^@?#\s]*)?")
# A key or a token that was put where the URL belongs must not be looked up as if it were a name.
_KNOWN_AS_HOST = re.compile(r"localhost|\[.*|[0-9]+(\.[0-9]+){3}|.*\.[a-z]{2,24}")
_PRIVATE_NAME = re.compile(r"[^.]+|.*\.(local|localhost|internal)")
_SHOWN = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)([^/?#]*)(.*)", re.DOTALL)


def parsed_url(text: str) -> SplitResult | None:
    """*text* as a URL of plain ASCII without fragment; None where it is none for HTTP.

    None as well where what stands for its host may be the start of a password with a `/`, `?` or `#` in it.
    """
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        # Only where it must be: the codec's tables are 2 ms of imports.
        host = host if host.isascii() else host.encode("idna").decode()
        port = url.port
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(host) or _is_torn(url):
        return None
    userinfo, at, _ = url.netloc.rpartition("@")
    host = f"[{host}]" if ":" in host else host
    return url._replace(
        netloc=f"{userinfo}{at}{host}" + ("" if port is None else f":{port}"),
        path=quote(url.path, safe="/%:@!$&'()*+,;=~"),
        query=quote(url.query, safe="/%:@!$&'()*+,;=~?"),
        fragment="",
    )


def with_scheme(text: str) -> str:
    """*text*, where it is `host[:port][/path]`, with the scheme that is most likely meant; else as it is."""
    match = _SCHEMELESS.fullmatch(text)
    if not match or not (match[2] or _KNOWN_AS_HOST.fullmatch(match[1])):
        return text
    # Plain HTTP only where nobody listens in: the headers are a secret.
    is_plain = _is_private(match[1]) and match[2] != ":443"
    return f"{'http' if is_plain else 'https'}://{text}"


def bare_netloc(url: SplitResult) -> str:
    """Host and port, without credentials."""
    return url.netloc.rpartition("@")[2]


def authorization(url: SplitResult) -> dict[str, str]:
    """What the credentials in a URL become on the wire; nothing where there are none."""
    if not (url.username or url.password):
        return {}
    credentials = f"{unquote(url.username or '')}:{unquote(url.password or '')}".encode()
    return {"authorization": f"Basic {b2a_base64(credentials, newline=False).decode()}"}


def shown_url(text: str) -> str:
    """*text*, which need not be a URL, without all that could be a credential in one; "" without a scheme."""
    match = _SHOWN.fullmatch(re.sub(r"[\t\r\n]", "", text))
    if not match:
        return ""
    scheme, netloc, rest = match.groups()
    if "@" in rest:
        return f"{scheme}***"
    path = rest.partition("?")[0].partition("#")[0]
    return f"{scheme}{netloc.rpartition('@')[2]}{path}"[:200]


def _is_torn(url: SplitResult) -> bool:
    has_late_at = "@" in f"{url.path}{url.query}{url.fragment}"
    return has_late_at and not (url.path and _PLAIN_HOST.fullmatch(url.netloc))


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return bool(_PRIVATE_NAME.fullmatch(host))
