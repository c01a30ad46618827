"""Takes HTTP URLs apart: what can be sent, what is a secret, what may be shown. Pure."""

import re
from binascii import b2a_base64
from urllib.parse import SplitResult, quote, unquote, urlsplit

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f.]*:[0-9a-f:.]*")


def parsed_url(text: str) -> SplitResult | None:
    """*text* as a URL of plain ASCII without fragment; None where it is none for HTTP."""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        # Only where it must be: the codec's tables are 2 ms of imports.
        host = host if host.isascii() else host.encode("idna").decode()
        port = url.port
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    userinfo, at, _ = url.netloc.rpartition("@")
    host = f"[{host}]" if ":" in host else host
    return url._replace(
        netloc=f"{userinfo}{at}{host}" + ("" if port is None else f":{port}"),
        path=quote(url.path, safe="/%:@!$&'()*+,;=~"),
        query=quote(url.query, safe="/%:@!$&'()*+,;=~?"),
        fragment="",
    )


def bare_netloc(url: SplitResult) -> str:
    """Host and port, without credentials."""
    return url.netloc.rpartition("@")[2]


def authorization(url: SplitResult) -> dict[str, str]:
    """What the credentials in a URL become on the wire; nothing where there are none."""
    if not url.username:
        return {}
    credentials = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    return {"authorization": f"Basic {b2a_base64(credentials, newline=False).decode()}"}


def shown_url(text: str) -> str:
    """*text*, which need not be a URL, without all that could be a credential in one."""
    bare = text.partition("?")[0].partition("#")[0]
    return re.sub(r"^([a-zA-Z][a-zA-Z0-9+.-]*://)?.*@", r"\1", bare)[:200]
