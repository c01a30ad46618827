"""Finds an exception with its stack trace in a text, as loggers and programs print it. Pure; never raises.

The result is `exception.*` attributes. Every search is linear in the length of the text: repeats are bounded.
"""

import re
from collections.abc import Callable
from itertools import islice

TYPE = "exception.type"
MESSAGE = "exception.message"
STACKTRACE = "exception.stacktrace"
NAMES = (TYPE, MESSAGE, STACKTRACE)

# What precedes the first frame and may contain the type and the message of the exception.
_MAX_HEAD = 2_000

_PYTHON = "Traceback (most recent call last):"
# The first line after the frames that is not indented, nor within the margin of a group.
_PYTHON_END = re.compile(r"\n([^\W\d][\w.]{0,200})(?:: (.*))?", re.DOTALL)
# The exception of a group is within its margin.
_PYTHON_GROUP = re.compile(r"\n[ \t\u00a0]{0,40}\| ([\w.]{0,200}Group): ([^\n]*)")
# Frames of Java, Node.js and .NET.
_AT_FRAME = re.compile(r"\n[ \t]{1,24}at [\w$.<(\[/]")
_AT_TYPE = re.compile(
    r"(?:^|[\s:])((?:[\w$`]{1,80}\.){0,12}[\w$`]{0,80}(?:Error|Exception|Throwable)[\w$`]{0,40})"
    r"(?: \[\w{1,80}\])?(?:: (.*))?\Z",
    re.DOTALL,
)
_INNER = re.compile(r"\r?\n[ \t]{1,24}---> ")
# Of any name but that of `console.trace`, only before a frame with its place: `(index.js:3:9)`.
_AT_PLACE = re.compile(r"\n[ \t]{1,24}at (?:[^\n(]{1,300}\()?[^\s()]{1,300}:\d{1,7}(?::\d{1,7})?\)?(?= \{\n|[\r\n]|\Z)")
_AT_NAME = re.compile(r"(?:^|\n)(?!Trace\b)((?:[\w$]{1,80}\.){0,12}[A-Z][\w$]{0,80})(?:: ([^\n]*))?\r?\Z")
# Of an exception that ends Node.js: the place, the source and a marker before it, and the version after it.
_NODE_BEGIN = re.compile(
    r"(?:/|file:///|node:)[^\n]{1,1000}:\d{1,7}\n[^\n]{0,10000}\n[ \t]{0,1000}\^[ ^~]{0,1000}\n", re.ASCII
)
_NODE_END = "Node.js v"
_GO = re.compile(r"(panic|fatal error): ")
_MAX_GO_MESSAGE = 2_000
_GOROUTINE = re.compile(r"\ngoroutine \d{1,10} \[")
_GO_FRAME = re.compile(r"\n[\w./*()-]{1,300}\.[\w.*()\[\]-]{1,200}\n\t/[^\s:]{1,300}:\d{1,7}(?=\n|\Z)")
_GO_ERROR = re.compile(r'"error": "((?:[^"\\\n]|\\[^\n]){0,1000})"')
_RUBY_PLACE = re.compile(r"\.rb:\d{1,7}:in ")
_RUBY_FILE = re.compile(r"[ \t]{0,8}(?:from )?[^\s:]{1,300}")
_MAX_RUBY_FILE = 320
_MAX_RUBY_PLACES = 100
# An error without a stack as Node.js prints it, also in an object: `[Error: message] { code: 'E' }`.
_INSPECTED = re.compile(
    r"(?:^|\s)\[((?:[\w$]{1,80}\.){0,8}[\w$]{0,80}(?:Error|Exception))(?: \[\w{1,80}\])?: (?=([^\n]{0,2000}))"
)
_INSPECTED_END = re.compile(r"\](?= \{|[,\n]| [}\]]|\Z)")
_MAX_INSPECTED = 10
_MAX_BEFORE_INSPECTED = 16_384
# https://github.com/Seldaek/monolog/blob/main/src/Monolog/Formatter/LineFormatter.php
_MONOLOG = re.compile(
    r"\[object\] \(([A-Za-z_][\w\\]{0,200})\(code: [^)\n]{1,20}\): ([^\n]{0,500}?) at /[^\s:]{1,300}:\d{1,7}\)"
)
# A field of a logfmt line, with its line ends escaped.
_QUOTED = re.compile(r"""=(["'])(Traceback \(most recent call last\):\\n)""")
_RUBY_TYPE = re.compile(r"([A-Z]\w{0,100}(?:::\w{1,100}){0,8})\)")
_PHP_FRAME = re.compile(r"\n(?:Stack trace:|\[stacktrace\])\n#0 ")
_PHP_MARKS = ("Uncaught ", "[object] (", "\nNext ")
_PHP_TYPE = re.compile(
    r"(?<![\w\\])([A-Z][\w\\]{0,200})(?:\(code: \w{1,20}\))?: (.{0,2000}) (?:in|at) /[^\n]{1,400}\Z", re.DOTALL
)


def find_exception(text: str) -> dict[str, str] | None:
    """Return the attributes of the first exception in *text*; None if it contains no stack trace."""
    if "\n" not in text:
        if "\r" not in text:
            return None
        text = text.replace("\r", "\n")
    for find in _FINDERS:
        if (exception := find(text)) is not None:
            return exception
    return None


def find_inspected(text: str) -> dict[str, str] | None:
    """Return the first error in *text* that Node.js or Monolog wrote without a stack; None if there is none."""
    if "rror" not in text and "xception" not in text:
        return None
    if "[object] (" in text and (monolog := _MONOLOG.search(text, 0, _MAX_BEFORE_INSPECTED)):
        return {TYPE: monolog[1].replace("\\\\", "\\"), MESSAGE: monolog[2]}
    for match in islice(_INSPECTED.finditer(text, 0, _MAX_BEFORE_INSPECTED), _MAX_INSPECTED):
        if end := _INSPECTED_END.search(text, match.end(), match.end(2) + 1):
            return {TYPE: match[1], MESSAGE: text[match.end() : end.start()]}
    return None


def find_quoted(text: str) -> dict[str, str] | None:
    """Return the exception in a field of the logfmt line *text*, whose line ends are escaped; None if there is none."""
    match = _QUOTED.search(text) if '="Trace' in text or "='Trace" in text else None
    if match is None:
        return None
    quote = match[1]
    end = re.compile(rf"(?<!\\){quote}(?= [\w.]{{1,80}}=|\s*\Z)").search(text, match.end())
    quoted = text[match.start(2) : end.start() if end else len(text)]
    parts = quoted.split("\\\\")
    return find_exception("\\".join([part.replace("\\n", "\n").replace("\\" + quote, quote) for part in parts]))


def has_ended_node(text: str, exception: dict[str, str]) -> bool:
    """Return whether Node.js ended because of *exception*, which is in *text*."""
    if text.rstrip().rpartition("\n")[2].startswith(_NODE_END):
        return True
    # Node.js adds the source to the stack of a SyntaxError itself, also if it is caught and logged.
    return exception.get(TYPE) != "SyntaxError" and _NODE_BEGIN.match(text) is not None


def describe(name: str, message: str, trace: str) -> dict[str, str]:
    """Return the attributes of an exception."""
    return {TYPE: name, MESSAGE: message, STACKTRACE: trace} if trace else {TYPE: name, MESSAGE: message}


def _find_python(text: str) -> dict[str, str] | None:
    begin = text.find(_PYTHON)
    if begin < 0:
        return None
    # Of exceptions that caused each other, the last one was raised.
    if match := _PYTHON_END.search(text, text.rfind(_PYTHON)):
        return describe(match[1], (match[2] or "").rstrip("\n"), text[begin:])
    group = _PYTHON_GROUP.search(text, begin) if "Group: " in text else None
    return describe(group[1], group[2], text[begin:]) if group else {STACKTRACE: text[begin:]}


def _find_frames(text: str) -> dict[str, str] | None:
    frame = _AT_FRAME.search(text)
    if frame is None:
        return None
    begin = max(0, frame.start() - _MAX_HEAD)
    head = text[begin : frame.start()]
    match = _AT_TYPE.search(head)
    if match is None and _AT_PLACE.match(text, frame.start()):
        match = _AT_NAME.search(head)
    if match is None:
        return None
    # .NET prints the exception that caused this one before the frames.
    message = _INNER.split(match[2] or "", maxsplit=1)[0]
    return describe(match[1], message, text[begin + match.start(1) :])


def _find_go(text: str) -> dict[str, str] | None:
    at = 0 if "goroutine " in text and _GOROUTINE.search(text) else len(text)
    while match := _GO.search(text, at):
        at = text.find("\n", match.end())
        if 0 <= at <= match.end() + _MAX_GO_MESSAGE:
            return describe(match[1], text[match.end() : at].partition(" [recovered]")[0], text[match.start() :])
        at = at if at >= 0 else len(text)
    if frame := _GO_FRAME.search(text) if "\n\t/" in text else None:
        # zap's; the error is a field in front of them.
        error = _GO_ERROR.search(text, max(0, frame.start() - _MAX_HEAD), frame.start())
        return ({MESSAGE: error[1]} if error else {}) | {STACKTRACE: text[frame.start() + 1 :]}
    return None


def _find_ruby(text: str) -> dict[str, str] | None:
    end = _find_ruby_frame(text)
    if end < 0:
        return None
    begin = text.rfind("\n", 0, end) + 1
    if text[begin:end].strip(" ^~") == "" and (source := text.rfind("\n\n", max(0, begin - _MAX_HEAD), begin)) >= 0:
        # Ruby shows the place in the source after the message.
        end = source
        begin = text.rfind("\n", 0, end) + 1
    head = text[begin:end]
    # `message (Class)`, after the place if the program has ended: `file.rb:3:in 'f': message (Class)`.
    message, _, name = head.rpartition(" (")
    if ":in " in message[:_MAX_HEAD] and "': " in message:
        message = message.partition("': ")[2]
    match = _RUBY_TYPE.fullmatch(name)
    return describe(match[1], message, text[begin:]) if match else None


def _find_ruby_frame(text: str) -> int:
    """Return where the line before the first frame ends; -1 if there is no frame."""
    for place in islice(_RUBY_PLACE.finditer(text), _MAX_RUBY_PLACES):
        at = text.rfind("\n", max(0, place.start() - _MAX_RUBY_FILE), place.start())
        if at >= 0 and _RUBY_FILE.fullmatch(text, at + 1, place.start()):
            return at
    return -1


def _find_php(text: str) -> dict[str, str] | None:
    # Of exceptions that caused each other, the last one was raised.
    frame = _PHP_FRAME.search(text, max(0, text.rfind("\nNext "))) or _PHP_FRAME.search(text)
    if frame is None:
        return None
    begin = max(0, frame.start() - _MAX_HEAD)
    # Before these may be the name of a level.
    begin += max([text.rfind(mark, begin, frame.start()) - begin for mark in _PHP_MARKS] + [0])
    match = _PHP_TYPE.search(text[begin : frame.start()].rstrip(")\n"))
    return describe(match[1], match[2], text[begin + match.start() :]) if match else None


_FINDERS: tuple[Callable[[str], dict[str, str] | None], ...] = (
    _find_python,
    _find_frames,
    _find_go,
    _find_ruby,
    _find_php,
)
