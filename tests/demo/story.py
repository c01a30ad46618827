"""Reads the OTLP that a receiver got as a story: invocations, each a tree of spans with its log lines. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.support import otlp_messages
from tests.support.otlp_messages import LOGS, SPANS

Message = tuple[str, Any]
"""The path of a request (`/v1/logs`, …) and its decoded Export…ServiceRequest."""

PLATFORM_SCOPE = "aws.lambda"


@dataclass(frozen=True, slots=True)
class Span:
    """One span that arrived. Spans of the function's own SDK have another scope than `PLATFORM_SCOPE`."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    scope: str
    start_ns: int
    end_ns: int
    error: str = ""
    """The status message or the error's type; empty without an error."""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Line:
    """One log record that arrived."""

    trace_id: str
    span_id: str
    scope: str
    severity: str
    start_ns: int
    body: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end_ns(self) -> int:
        return self.start_ns

    @property
    def fields(self) -> dict[str, Any]:
        """Return the other fields that the function logged in a JSON line."""
        return {key: value for key, value in self.attributes.items() if not key.startswith(_NOT_LOGGED)}

    @property
    def summary(self) -> str:
        """Return the first line of the message."""
        return self.body.strip().partition("\n")[0]


# Attributes that say where a line is from, or that repeat its message.
_NOT_LOGGED = ("faas.", "lambda.", "exception.")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a waterfall; `depth` is that in the tree."""

    depth: int
    item: Span | Line


KINDS = ("succeeded", "failed", "init", "phase", "function", "info", "warning", "error", "platform")
"""Of spans: the invocation's own, by its outcome; inits; phases of it; spans of the function's own SDK.
Of log lines: the function's, by severity; those about the platform and the extension."""

_LEVELS = {"WARN": "warning", "WARNING": "warning", "ERROR": "error", "CRITICAL": "error", "FATAL": "error"}


@dataclass(frozen=True, slots=True)
class Invocation:
    """One invocation: its own span and the rows of its waterfall, the span first."""

    span: Span
    rows: tuple[Row, ...]

    @property
    def request_id(self) -> str:
        return str(self.span.attributes["faas.invocation_id"])

    @property
    def is_cold(self) -> bool:
        return bool(self.span.attributes.get("faas.coldstart"))

    @property
    def is_timeout(self) -> bool:
        return self.span.attributes.get("error.type") == "timeout"

    @property
    def start_ns(self) -> int:
        return min(row.item.start_ns for row in self.rows)

    @property
    def end_ns(self) -> int:
        return max(row.item.end_ns for row in self.rows)

    @property
    def is_failed(self) -> bool:
        return bool(self.span.error)

    @property
    def outcome(self) -> str:
        """Return how it ended, in words."""
        took = duration(self.span.duration_s)
        if self.is_timeout:
            return f"timed out after {took}"
        if self.is_failed:
            return f"failed after {took}: {self.span.attributes.get('error.type', self.span.error)}"
        return f"succeeded in {took}"

    def kind(self, item: Span | Line) -> str:
        """Return what *item* is to a reader, one of `KINDS`."""
        match item:
            case Line(scope="aws.lambda.function"):
                return _LEVELS.get(item.severity, "info")
            case Line():
                return "platform"
            case Span(scope=scope) if scope != PLATFORM_SCOPE:
                return "function"
            case _ if item is self.span:
                return "failed" if self.is_failed else "succeeded"
            case _:
                return "init" if "init" in item.name else "phase"


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that arrived, by invocation."""

    invocations: tuple[Invocation, ...]
    others: tuple[Span | Line, ...]
    """What belongs to no invocation."""


def read(messages: Iterable[Message]) -> Story:
    """Return the story that *messages* tell, the invocations in order."""
    messages = list(messages)
    spans = [_span(*flat) for path, message in messages if path == SPANS for flat in otlp_messages.spans(message)]
    lines = [_line(*flat) for path, message in messages if path == LOGS for flat in otlp_messages.log_records(message)]
    own_spans = sorted(filter(_is_invocation, spans), key=lambda span: span.start_ns)
    invocations = []
    for span in own_spans:
        members = [other for other in spans if other.trace_id == span.trace_id]
        taken = [line for line in lines if _owner(line, own_spans) is span]
        invocations.append(Invocation(span, tuple(_tree(span, members, taken))))
    placed = {id(row.item) for invocation in invocations for row in invocation.rows}
    items: list[Span | Line] = [*spans, *lines]
    return Story(tuple(invocations), tuple(item for item in items if id(item) not in placed))


def duration(seconds: float) -> str:
    """Return *seconds* as a short text with its unit."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    ms = seconds * 1000
    if ms >= 10:
        return f"{ms:.0f} ms"
    return f"{ms:.1f} ms" if ms >= 0.05 or ms == 0 else "<0.1 ms"


def short(trace_id: str) -> str:
    """Return the end of an id: Lambda's trace ids begin with the time, so their beginnings are alike."""
    return trace_id[-8:]


def _is_invocation(span: Span) -> bool:
    return span.scope == PLATFORM_SCOPE and "faas.invocation_id" in span.attributes


def _owner(line: Line, own_spans: Sequence[Span]) -> Span | None:
    """Return the invocation of *line*: that of its trace; without one, the one that ends next, as of an init."""
    if line.trace_id:
        return next((span for span in own_spans if span.trace_id == line.trace_id), None)
    return next((span for span in own_spans if line.start_ns <= span.end_ns), None)


def _tree(root: Span, spans: Sequence[Span], lines: Sequence[Line]) -> Iterator[Row]:
    """Yield the rows of *root* and of all under it, then of spans whose parent has not arrived."""
    ids = {span.span_id for span in spans}
    children: dict[str, list[Span | Line]] = {}
    for span in spans:
        if span is not root:
            children.setdefault(span.parent_id if span.parent_id in ids else "", []).append(span)
    for line in lines:
        parent = line.span_id if line.span_id in ids else _init_around(line, root, spans).span_id
        children.setdefault(parent, []).append(line)

    def rows(item: Span | Line, depth: int) -> Iterator[Row]:
        yield Row(depth, item)
        if isinstance(item, Span):
            for child in sorted(children.get(item.span_id, ()), key=lambda child: (child.start_ns, child.end_ns)):
                yield from rows(child, depth + 1)

    yield from rows(root, 0)
    for other in children.get("", ()):
        yield from rows(other, 0)


def _init_around(line: Line, root: Span, spans: Sequence[Span]) -> Span:
    """Return the shortest part of an init during which *line* was logged; *root* if there is none."""
    around = [span for span in spans if "init" in span.name and span.start_ns <= line.start_ns <= span.end_ns]
    return min(around, key=lambda span: span.duration_s, default=root)


def _span(_: dict[str, Any], scope: Any, span: Any) -> Span:
    attributes = otlp_messages.attributes(span.attributes)
    is_error = span.status.code == Status.STATUS_CODE_ERROR
    return Span(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        scope.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        (span.status.message or str(attributes.get("error.type", "error"))) if is_error else "",
        attributes,
    )


def _line(_: dict[str, Any], scope: Any, record: Any) -> Line:
    body = otlp_messages.plain(record.body)
    return Line(
        record.trace_id.hex(),
        record.span_id.hex(),
        scope.name,
        record.severity_text,
        record.time_unix_nano,
        body if isinstance(body, str) else repr(body),
        otlp_messages.attributes(record.attributes),
    )
