"""Removes the secrets of endpoints from text that is to be logged, in whatever form a server quotes them. Pure.

A secret is recognised by any 8 of its characters: in any case, percent-encoded, escaped as in JSON or HTML, in
hexadecimal digits, in a list of its bytes, in base64 (also as a part of something larger), broken across lines or by
the codes of a terminal, or cut. Never raises.
"""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote, urlsplit

from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.urls import authorization_header

MASK = "***"
_RUN_CHARS = 8
# Shorter secrets would mask parts of ordinary words.
_MIN_SECRET_CHARS = 4
# Of a run without its spaces and line breaks: less could be part of anything.
_MIN_SQUEEZED_CHARS = 6
# An escaped text may be escaped again, by a proxy or because it is quoted in JSON.
_MAX_ROUNDS = 4
_ESCAPES = {
    "%": r"(?P<percent>(?:%[0-9a-f]{2})+)|%u(?P<percent16>[0-9a-f]{4})",
    "\\": (
        r"\\u000(?P<utf32>[0-9a-f]{5})|(?P<utf16>(?:\\u[0-9a-f]{4})+)|\\[ux]\{0{0,6}(?P<code>[0-9a-f]{1,5})\}"
        r"|(?P<bytes>(?:\\x[0-9a-f]{2})+)|(?P<octal>(?:\\[0-3][0-7]{2})+)|\\(?P<char>.)"
    ),
    "&": r"&#0{0,6}(?P<decimal>[0-9]{1,6});?|&#x0{0,6}(?P<hex>[0-9a-f]{1,5});?|&(?P<entity>[a-z]{2,7});",
    "=": r"(?P<quoted>(?:=[0-9a-f]{2})+)",
    "\x1b": r"(?P<colour>\x1b\[[0-9;]*[a-z])",
    # Lists of at least four bytes, as Go, JSON and Rust print them, and in hexadecimal digits.
    " ": r"(?P<list>(?<![0-9])[0-9]{1,3}(?: [0-9]{1,3}){3,})",
    ",": r"(?P<array>(?<![0-9])[0-9]{1,3}(?:, ?[0-9]{1,3}){3,})",
    "0x": r"(?P<hexes>(?:0x[0-9a-f]{2},? ?){4,})",
    ":": r"(?P<colons>[0-9a-f]{2}(?::[0-9a-f]{2}){3,})",
    "-": r"(?P<dashes>[0-9a-f]{2}(?:-[0-9a-f]{2}){3,})",
}
"""By what each contains. The text is in lower case."""
_CONTROLS = dict.fromkeys("abfnrtv", "\n")
_ENTITY_NAMES = (
    "amp apos bsol colon comma commat dollar equals excl gt lowbar lt"
    " nbsp num percnt period plus quest quot semi sol tab newline"
)
_ENTITIES = dict(zip(_ENTITY_NAMES.split(), "&'\\:,@$=!>_< #%. ?\";/\t\n", strict=True))


def _of_hex(text: str) -> str:
    return bytes.fromhex(re.sub("0x|[^0-9a-f]", "", text)).decode("utf-8", "replace")


def _of_numbers(text: str, base: int) -> str:
    return bytes(int(number, base) & 255 for number in re.findall("[0-9]+", text)).decode("utf-8", "replace")


_DECODERS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("percent", "bytes", "quoted", "hexes", "colons", "dashes"), _of_hex),
    **dict.fromkeys(("percent16", "utf32", "code", "hex"), lambda text: chr(int(text, 16))),
    **dict.fromkeys(("list", "array"), lambda text: _of_numbers(text, 10)),
    "octal": lambda text: _of_numbers(text, 8),
    "colour": lambda _: "",
    "utf16": lambda text: bytes.fromhex(text.replace("\\u", "")).decode("utf-16-be", "replace"),
    "char": lambda text: _CONTROLS.get(text, text),
    "decimal": lambda text: chr(int(text)),
    "entity": lambda text: _ENTITIES.get(text, f"&{text};"),
}


class SecretMask:
    """Masks the header values, credentials and query strings of *endpoints*. For any thread."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        # Computed when the first line is logged, not at the start.
        self._patterns: tuple[_Patterns, _Patterns] | None = None

    def own(self, line: str) -> str:
        """Return our own *line* without secrets of 8 characters or more: shorter ones may be words that we use."""
        return _masked(line, self._compiled()[0])

    def foreign(self, text: str) -> str:
        """Return what a server wrote without any secret."""
        return _masked(text, self._compiled()[1])

    def _compiled(self) -> "tuple[_Patterns, _Patterns]":
        if self._patterns is None:
            secrets = {secret for endpoint in self._endpoints for secret in secret_values(endpoint)}
            self._patterns = _Patterns(secrets, _RUN_CHARS), _Patterns(secrets, _MIN_SECRET_CHARS)
        return self._patterns


def secret_values(endpoint: Endpoint) -> set[str]:
    """Return what is secret of *endpoint*: header values and their parts, credentials, values in the query string."""
    headers = (*endpoint.headers.values(), *authorization_header(urlsplit(endpoint.proxy)).values())
    found = {text for value in headers for text in _parts_of_header(value)}
    for pair in urlsplit(endpoint.url).query.split("&"):
        name, equals, value = pair.partition("=")
        found |= {value, unquote(value)} if equals else {name, unquote(name)}
    return {text for text in found if len(text) >= _MIN_SECRET_CHARS}


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


class _Patterns:
    """What to look for: texts by their length, and what is left of them without spaces and line breaks."""

    def __init__(self, secrets: Iterable[str], min_chars: int) -> None:
        self._min_chars = min_chars
        self.plain: dict[int, set[str]] = {}
        self.squeezed: dict[int, set[str]] = {}
        for secret in secrets:
            for form in _forms(secret):
                for view in _views(form):
                    self._add("".join(view.characters))

    def _add(self, text: str) -> None:
        for index in range(max(1, len(text) - _RUN_CHARS + 1)):
            run = text[index : index + _RUN_CHARS]
            if len(run) < self._min_chars:
                return
            self.plain.setdefault(len(run), set()).add(run)
            squeezed = "".join(run.split())
            if len(squeezed) >= min(_MIN_SQUEEZED_CHARS, len(run)):
                self.squeezed.setdefault(len(squeezed), set()).add(squeezed)


def _forms(secret: str) -> Iterator[str]:
    """Return *secret* and what encodes it completely; of base64, what is the same within something larger."""
    data = secret.encode("utf-8", "replace")
    yield from (secret, data.decode("latin-1"), data.hex())
    for encoded_bytes in (data, secret.encode("utf-16-le", "replace"), secret.encode("utf-16-be", "replace")):
        for before, cut in ((0, 0), (1, 2), (2, 3)):
            encoded = b2a_base64(bytes(before) + encoded_bytes, newline=False).decode().rstrip("=")
            whole = encoded[cut : (before + len(encoded_bytes)) * 8 // 6]
            yield whole
            yield whole.replace("+", "-").replace("/", "_")


class _View:
    """A text with some of its escapes decoded, in lower case, and where each character was in the original."""

    __slots__ = ("characters", "ends", "starts")

    def __init__(self, characters: list[str], starts: list[int], ends: list[int]) -> None:
        self.characters = characters
        self.starts = starts
        self.ends = ends

    def squeezed(self) -> "_View":
        kept = [index for index, character in enumerate(self.characters) if not character.isspace()]
        characters = [self.characters[index] for index in kept]
        return _View(characters, [self.starts[index] for index in kept], [self.ends[index] for index in kept])

    def decoded(self, escape: str) -> "_View":
        text = "".join(self.characters)
        characters: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for match in re.finditer(escape, text, re.DOTALL):
            begin, end = match.span()
            kind = match.lastgroup or ""
            decoded = _lower(_DECODERS[kind](match[kind]))
            characters += self.characters[done:begin] + decoded
            starts += self.starts[done:begin] + [self.starts[begin]] * len(decoded)
            ends += self.ends[done:begin] + [self.ends[end - 1]] * len(decoded)
            done = end
        return _View(characters + self.characters[done:], starts + self.starts[done:], ends + self.ends[done:])


def _views(text: str) -> Iterator[_View]:
    """Return *text* as it is, and decoded in every way that its characters allow."""
    plain = _View(_lower(text), list(range(len(text))), list(range(1, len(text) + 1)))
    yield plain
    kinds = [pattern for mark, pattern in _ESCAPES.items() if mark in text]
    # Each kind alone as well: a percent sign before a JSON string is no escape, but looks like one.
    for escape in [*kinds, "|".join(_ESCAPES.values())] if kinds else ():
        view = plain
        for _ in range(_MAX_ROUNDS):
            before, view = view, view.decoded(escape)
            if len(view.characters) == len(before.characters):
                break
            yield view


def _lower(text: str) -> list[str]:
    # In forms, a plus is a space.
    text = text.replace("+", " ")
    lower = text.lower()
    # The lower case of a few characters is longer.
    return list(lower if len(lower) == len(text) else text)


def _masked(text: str, patterns: _Patterns) -> str:
    if not patterns.plain:
        return text
    pieces: list[str] = []
    done = 0
    for start, end in sorted({span for view in _views(text) for span in _spans(view, patterns)}):
        if start > done or not pieces:
            pieces += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*pieces, text[done:]])


def _spans(view: _View, patterns: _Patterns) -> Iterator[tuple[int, int]]:
    """Return where in the original the patterns are."""
    for each, runs in ((view, patterns.plain), (view.squeezed(), patterns.squeezed)):
        characters = "".join(each.characters)
        for length, texts in runs.items():
            last = length - 1
            for index in range(len(characters) - last):
                if characters[index : index + length] in texts:
                    yield each.starts[index], each.ends[index + last]
