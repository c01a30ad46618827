"""Decides which lines of text continue a stack trace that was printed line by line. Pure; never raises."""

import re
from collections.abc import Callable, Sequence

from telemetry_forwarder.log_formats import severity
from telemetry_forwarder.log_formats.parser import read_line

SPACE = " \t\u00a0"
BRACKETED = ("[signal ", "[stacktrace]")
_FOLLOWING = (
    *BRACKETED,
    *("at ", "from ", "Caused by: ", "Suppressed: ", "... ", "--- End of ", "---> ", 'File "', '> File "', "^", "~"),
    *("goroutine ", "created by ", "runtime stack:", "exit status ", "stack backtrace:", "note: "),
    *("Stack trace:", "thrown in ", "Node.js v", "}", '"}', "]"),
    *("During handling of the above exception", "The above exception was the direct cause"),
)
_CHAINED = _FOLLOWING[-2:]
_CAUSES = ("Caused by: ", "Suppressed: ", "Next ")
_TRACEBACK = "Traceback (most recent call last):"
_LEADING = ("Exception in thread ", "Exception ignored in", "LAMBDA_WARNING: Unhandled exception")
_GO = ("panic: ", "fatal error: ", "goroutine ", "runtime: ")
# Node.js prints the place, the source and a marker before the exception.
_SOURCES = ("/", "file:///", "node:")

# Compiled when they are first needed, not at the start.
_TYPE = r"[\w.$]{0,200}(?:Error|Exception|Throwable)\b"
_PYTHON_END = r"[^\W\d][\w.]{0,200}(?:: |$)"
_RUBY_FRAME = r"[^\s:]{1,300}\.rb:\d{1,7}:in [`'][^']{1,200}'$"
_GO_PLACE = r"\t/\S{1,300}:\d{1,7}$"
# What begins an exception, and what ends its message, which may have several lines.
_HEAD = rf"(?:^|.{{0,500}}[\s:(\\]){_TYPE}(?:\(code: \d+\))?(?:: |$)|panic: |(?:PHP )?Fatal error: "
_FRAME = r"\s{1,24}(?:at |\.\.\. )|Stack trace:|\[stacktrace\]|goroutine \d"
_MAX_MESSAGE_LINES = 20
# Of one line or more.
_DOTNET_MESSAGE = r" {6}"
# Loggers that write two lines for each record, and how the second one begins: java.util.logging, .NET, Python's
# warnings.
_PAIRS = (
    (r"[A-Z][a-z]{2} \d\d?, \d{4},? \d\d?:[^\t]{9,300}$", r"[A-Z]{4,7}: "),
    (r"(?:trce|dbug|info|warn|fail|crit): \S{1,200}\[\d{1,10}\]$", _DOTNET_MESSAGE),
    (r"\S{1,300}\.py:\d{1,7}: \w{0,60}Warning: ", r"  \S"),
)


class TraceLines:
    """A line, and those after it that may be its stack trace."""

    def __init__(self, first: str) -> None:
        self.lines = [first]
        self._first = first
        self._last = first
        """The last line that is not blank."""
        self._is_alone = True
        """Whether only blank lines follow the first."""
        self._is_traceback = _is_traceback(first)
        """Whether frames of Python are expected, and then its exception, which a group has within its margin."""
        self._is_group = first[0] in SPACE
        self._is_go = first.startswith(_GO)
        self._awaits_frames = re.match(_HEAD, first) is not None
        self._second = next((second for start, second in _PAIRS if re.match(start, first)), "")
        """How every line must begin after the first; empty if the lines are not a logger's pairs."""

    @property
    def is_complete(self) -> bool:
        return self._first == "{" and self._last == "}"

    def accepts(self, text: str, ahead: Callable[[int], str]) -> bool:
        """Return whether *text* continues the run. *ahead* returns the text of a line after it, counted from 1."""
        if not text or text.isspace():
            return True
        if self._second:
            may_follow = self._is_alone or self._second == _DOTNET_MESSAGE
            return may_follow and re.match(self._second, text) is not None
        after = ahead(1)
        if _is_traceback(text) and not self._is_alone:
            return self._is_traceback or self._last.startswith(_CHAINED)
        is_go_frame = re.match(_GO_PLACE, after) is not None and " " not in text
        if self._is_alone and (is_go_frame or _begins_trace(text, ahead)):
            return is_go_frame or self._leads(text)
        if self._is_alone and "\n" in self._first:
            # Behind a pair, only an exception can be a part of the record.
            return False
        if text[0] in SPACE or text.startswith(_FOLLOWING):
            return True
        return (
            (self._is_traceback and self._ends_traceback(text))
            or is_go_frame
            or (self._is_go and (text[-1] == ")" or text.startswith(_GO)))
            or (self._awaits_frames and _is_message(text) and _reaches_frames(ahead))
            or ("\t" not in text and self._announces(after))
            or (text[0] == "#" and text[1:2].isdigit())
            # PHP's, behind the frames of the exception before it.
            or (text.startswith("Next ") and self._last[0] == "#")
            or re.match(_RUBY_FRAME, text) is not None
        )

    def add(self, text: str) -> None:
        self.lines.append(text)
        if self._second[:1] == "[":
            # What follows these two lines is no part of the pair.
            self._first, self._second = f"{self._first}\n{text}", ""
        elif text and not text.isspace():
            begins = (self._is_alone or text.startswith(_CAUSES)) and re.match(_HEAD, text) is not None
            self._awaits_frames = begins or (self._awaits_frames and not re.match(_FRAME, text))
            self._is_traceback = _is_traceback(text) or (self._is_traceback and text[0] in SPACE + ">")
            self._is_group = text[0] in SPACE if _is_traceback(text) else self._is_group
            self._is_go = self._is_go or text.startswith(_GO)
            self._last = text
            self._is_alone = False

    def _leads(self, text: str) -> bool:
        """Return whether the first line belongs to the exception that begins with *text*."""
        # Java's runtime client: `message: class`, then the stack trace, which begins with the class.
        name = self._first.rpartition(": ")[2]
        if ("." in name and text.startswith(name)) or self._first.startswith(_LEADING):
            return True
        line = read_line(self._first)
        # Below ERROR, lines of a runtime's own format take the fast path, which joins none.
        return line.severity_number >= (severity.ERROR if line.has_runtime_format else severity.from_name("WARN"))

    def _ends_traceback(self, text: str) -> bool:
        return not self._is_group and self._last[0] in SPACE and re.match(_PYTHON_END, text) is not None

    def _announces(self, after: str) -> bool:
        """Return whether any text can follow the last line: the message of Rust, or the source of Node.js."""
        if self._is_alone and self._last.startswith("thread '"):
            return self._last[-1] == ":"
        if self._is_alone and self._last.startswith(_SOURCES) and self._last[-1].isdigit():
            return _is_marker(after)
        return _is_marker(self._last)


def is_pair(texts: Sequence[str]) -> bool:
    """Return whether a logger writes *texts*, at least two lines, for one record."""
    return any(re.match(start, texts[0]) and re.match(second, texts[1]) for start, second in _PAIRS)


def _is_traceback(text: str) -> bool:
    return text.endswith(_TRACEBACK) and text.lstrip(SPACE + "+|").startswith(("Trace", "Exception Group "))


def _begins_trace(text: str, ahead: Callable[[int], str]) -> bool:
    """Return whether *text* is the first line of an exception whose frames are *ahead*."""
    return _is_traceback(text) or (re.match(_TYPE, text) is not None and _reaches_frames(ahead))


def _reaches_frames(ahead: Callable[[int], str]) -> bool:
    """Return whether frames are *ahead*, and before them only what may be a part of a message."""
    for number in range(1, _MAX_MESSAGE_LINES):
        text = ahead(number)
        if re.match(_FRAME, text):
            return True
        if not _is_message(text):
            return False
    return False


def _is_message(text: str) -> bool:
    """Return whether *text* may be a further line of an exception's message: no record, and no other exception."""
    return not re.match(_HEAD, text) and not read_line(text).severity_number


def _is_marker(text: str) -> bool:
    """Return whether *text* marks a place in the source above it."""
    return text.strip(SPACE + "\r\n") != "" and text.strip("^~ \t\r\n") == ""
