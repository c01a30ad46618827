"""Removes the secrets of endpoints from text that is to be logged. Pure; never raises.

A secret is recognised by any 8 of its characters, in any case: as they are, escaped as in JSON, URLs or HTML, in
hexadecimal digits, or in base64, also as a part of something larger.
"""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.urls import authorization_header

# A lone surrogate, which no decoded text contains.
_HIDDEN = "\udfff"
_RUN_CHARS = 8
# Shorter secrets would mask parts of ordinary words.
_MIN_SECRET_CHARS = 4
# Only under a name that ends like these can a value be no secret, and only if it is up to three words or numbers in 20
# characters, as `eu-west-1` is.
_PLAIN_NAME = re.compile(
    "(?:.*[-_])?(?:dataset|env|environment|index|name|organization|orgid|project|region|service|source|stage|tenant)"
)
_WORD = "(?:[A-Za-z][a-z]{0,13}|[A-Z]{1,14}|[0-9]{1,4})"
_WORDS = re.compile(rf"(?=.{{1,20}}\Z){_WORD}(?:[-_./]{_WORD}){{0,2}}")
# Escaped characters of JSON, URLs and HTML, or any other one.
_TOKEN = re.compile(
    r"\\u(?P<json>[0-9a-f]{4})|\\(?P<char>.)|(?P<url>(?:%[0-9a-f]{2})+)|(?P<html>&#?[0-9a-z]{2,8};)|.", re.DOTALL
)
# An escaped text may be escaped again: a proxy may quote the JSON of another server in JSON.
_MAX_ROUNDS = 2


class SecretMask:
    """Masks the header values, credentials and query strings of *endpoints*. For any thread."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        # Computed when the first line is logged, not at the start.
        self._runs: frozenset[str] | None = None

    def own(self, line: str) -> str:
        """Return our own *line* without secrets of 8 characters or more: shorter ones may be words that we use."""
        return self._masked(line, _RUN_CHARS)

    def foreign(self, text: str) -> str:
        """Return what a server wrote without any secret."""
        return self._masked(text, _MIN_SECRET_CHARS)

    def _masked(self, text: str, min_chars: int) -> str:
        if self._runs is None:
            secrets = {secret for endpoint in self._endpoints for secret in secret_values(endpoint)}
            self._runs = frozenset(run for secret in secrets for run in _runs(secret))
        characters = list(text)
        for start, end in _spans(text, self._runs, min_chars):
            characters[start:end] = _HIDDEN * (end - start)
        return re.sub(f"{_HIDDEN}+", "***", "".join(characters))


def secret_values(endpoint: Endpoint) -> set[str]:
    """Return what can be secret of *endpoint*: header values and their parts, credentials, values in the query."""
    headers = (*endpoint.headers.items(), *authorization_header(urlsplit(endpoint.proxy)).items())
    found = {text for name, value in headers if _can_be_secret(name, value) for text in _parts_of_header(value)}
    for pair in urlsplit(endpoint.url).query.split("&"):
        name, equals, value = pair.partition("=")
        if not equals:
            found |= {name, unquote(name)}
        elif _can_be_secret(unquote(name), unquote(value)):
            found |= {value, unquote(value)}
    return {text for text in found if len(text) >= _MIN_SECRET_CHARS}


def _can_be_secret(name: str, value: str) -> bool:
    return not (_PLAIN_NAME.fullmatch(name.lower()) and _WORDS.fullmatch(value))


def _parts_of_header(value: str) -> Iterator[str]:
    """Return *value* and the secrets inside it: the token after `Bearer`, the password of `Basic`."""
    yield value
    scheme, *tokens = value.split() or [""]
    yield from tokens
    if scheme.lower() == "basic":
        try:
            credentials = a2b_base64("".join(tokens)).decode()
        except ValueError:
            return
        yield from (credentials, *credentials.split(":", 1))


def _runs(secret: str) -> Iterator[str]:
    """Return what to look for: every 8 characters of each form of *secret*, or all of a shorter one."""
    for text, _ in (view for form in _forms(secret) for view in _views(form)):
        for index in range(max(1, len(text) - _RUN_CHARS + 1)):
            yield text[index : index + _RUN_CHARS]


def _forms(secret: str) -> Iterator[str]:
    """Return *secret* and what encodes it completely; of base64, what is the same within something larger."""
    encoded = secret.encode("utf-8", "replace")
    yield from (secret, encoded.hex())
    for before, cut in ((0, 0), (1, 2), (2, 3)):
        base64 = b2a_base64(bytes(before) + encoded).decode()[cut : (before + len(encoded)) * 8 // 6]
        yield from (base64, base64.replace("+", "-").replace("/", "_"))


def _views(text: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Return *text* in lower case, and with escapes decoded, each with where its characters are in the original."""
    view, spans = _lower(text), [(index, index + 1) for index in range(len(text))]
    yield view, spans
    for _ in range(_MAX_ROUNDS):
        decoded = [
            (character, (spans[token.start()][0], spans[token.end() - 1][1]))
            for token in _TOKEN.finditer(view)
            for character in _lower(_decoded(token))
        ]
        if len(decoded) == len(view):
            return
        view, spans = "".join(character for character, _ in decoded), [span for _, span in decoded]
        yield view, spans


def _decoded(token: re.Match[str]) -> str:
    if token["json"]:
        return chr(int(token["json"], 16))
    if token["url"]:
        return unquote(token["url"])
    if token["html"]:
        # Imported here: hardly any server sends HTML.
        from html import unescape

        return unescape(token["html"])
    return token["char"] or token[0]


def _lower(text: str) -> str:
    # Of the same length, therefore without the only letter whose lower case is two. In forms, a plus is a space.
    return text.replace("\u0130", "i").lower().replace("+", " ")


def _spans(text: str, runs: frozenset[str], min_chars: int) -> Iterator[tuple[int, int]]:
    """Return where in *text* any of *runs* is."""
    for view, spans in _views(text) if runs else ():
        for length in range(min_chars, _RUN_CHARS + 1):
            for index in range(len(view) - length + 1):
                if view[index : index + length] in runs:
                    yield spans[index][0], spans[index + length - 1][1]
