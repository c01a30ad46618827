"""Converts completed invocations and phases to OTLP spans, with the SDK's official encoder. Pure.

An invocation is one SERVER span, with Lambda's phases as its children. The init or restore that was made for it is a
child as well, so that a trace is one tree. https://opentelemetry.io/docs/specs/semconv/faas/aws-lambda/
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from telemetry_forwarder.core.batch import SPANS, Batch
from telemetry_forwarder.invocations.completed import Completed, CompletedInvocation, CompletedPhase, LateSpans
from telemetry_forwarder.log_formats.attribute_names import EXECUTION_ID, EXECUTION_NAME
from telemetry_forwarder.otlp.platform_attributes import map_unshown
from telemetry_forwarder.otlp.protobuf import escape_surrogates, field
from telemetry_forwarder.otlp.resource import SCHEMA_URL, CurrentResource
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.records import Event, PhaseSpan

_SCOPE = "aws.lambda"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_RESOURCE_SPANS = b"\x0a"
_UNSET = Status()
_OF_THE_FUNCTION = frozenset({"faas.name", "faas.version", "faas.instance", "faas.max_memory"})
Attributes = Mapping[str, str | bool | int | float]
_NO_ATTRIBUTES: Attributes = {}
# For all spans: their resource is encoded once and put before them.
_NO_RESOURCE = Resource.get_empty()


class SpanEncoder:
    """Converts what has completed to spans. Keeps no state of its own."""

    def __init__(
        self, settings: Settings, resource: CurrentResource, version: str, *, new_id: Callable[[int], str]
    ) -> None:
        """*new_id* returns the given number of random bytes as hex."""
        self._resource = resource
        self._scope = InstrumentationScope(_SCOPE, version, SCHEMA_URL)
        self._trace_parent = settings.trace_parent
        self._starts_at_init = settings.span_start == "init"
        self._sampling = settings.sampling
        self._new_id = new_id

    def encode(self, completed: Iterable[Completed]) -> Batch | None:
        """Return one batch with all the spans; None if there are none."""
        exported = [outcome for outcome in completed if self._sampling == "all" or outcome.is_sampled is not False]
        spans = [span for outcome in exported for span in self._spans(outcome)]
        if not spans:
            return None
        [resource_spans] = encode_spans(spans).resource_spans
        resource_spans.ClearField("resource")
        body = field(_RESOURCE_SPANS, self._resource.field + resource_spans.SerializeToString())
        return Batch(SPANS, body, len(spans))

    def _spans(self, outcome: Completed) -> Iterator[ReadableSpan]:
        match outcome:
            case CompletedInvocation():
                return self._invocation(outcome)
            case CompletedPhase():
                return self._phase(outcome)
            case LateSpans():  # pragma: no branch  # there is no other kind
                return self._late_spans(outcome)

    def _invocation(self, outcome: CompletedInvocation) -> Iterator[ReadableSpan]:
        context = _context(outcome.trace_id, span_id=outcome.span_id)
        upstream = _upstream(outcome)
        execution_name, _, execution_id = outcome.execution.partition("/")
        yield self._span(
            self._resource.text("faas.name") or "invocation",
            context,
            start_ns=(self._starts_at_init and outcome.waits_since_ns) or outcome.start_ns,
            end_ns=outcome.end_ns,
            kind=SpanKind.SERVER,
            parent=upstream if self._trace_parent == "parent" else None,
            links=[Link(upstream)] if upstream and self._trace_parent == "link" else [],
            error_type=outcome.error_type,
            error_message=outcome.error_message,
            attributes=self._attributes(
                outcome.events,
                {
                    "faas.invocation_id": outcome.request_id,
                    "faas.coldstart": outcome.is_cold,
                    "aws.lambda.invoked_arn": outcome.arn,
                    "lambda.status": outcome.status,
                    "lambda.tenant_id": outcome.tenant_id,
                    EXECUTION_NAME: execution_name,
                    EXECUTION_ID: execution_id,
                },
            ),
        )
        yield from self._children(context, outcome.spans)

    def _phase(self, outcome: CompletedPhase) -> Iterator[ReadableSpan]:
        context = _context(outcome.trace_id, span_id=outcome.span_id)
        parent_id = outcome.parent_span_id
        is_suppressed = outcome.kind == "init" and outcome.phase == "invoke"
        yield self._span(
            "suppressed init" if is_suppressed else outcome.kind,
            context,
            start_ns=outcome.start_ns,
            end_ns=outcome.end_ns,
            parent=_context(outcome.trace_id, span_id=parent_id) if parent_id else None,
            error_type=outcome.failure,
            error_message=outcome.error_message,
            attributes=self._attributes(
                outcome.events,
                {
                    "lambda.initialization_type": outcome.initialization_type,
                    "lambda.phase": outcome.phase,
                    "lambda.status": outcome.status,
                },
            ),
        )
        yield from self._children(context, _runtime_phase(outcome))
        yield from self._children(context, outcome.spans)

    def _late_spans(self, outcome: LateSpans) -> Iterator[ReadableSpan]:
        parent = _context(outcome.trace_id, span_id=outcome.parent_span_id)
        # The span of the invocation was sent without the report, so the first of these has its attributes.
        attributes = self._attributes([outcome.report] if outcome.report else (), {})
        yield from self._children(parent, outcome.spans[:1], attributes)
        yield from self._children(parent, outcome.spans[1:])

    def _children(
        self, parent: SpanContext, phases: Iterable[PhaseSpan], attributes: Attributes = _NO_ATTRIBUTES
    ) -> Iterator[ReadableSpan]:
        for phase in phases:
            yield self._span(
                phase.name,
                SpanContext(parent.trace_id, int(self._new_id(8), 16), is_remote=False, trace_flags=_SAMPLED),
                start_ns=phase.start_ns,
                end_ns=phase.start_ns + round(phase.duration_s * 1_000_000_000),
                parent=parent,
                attributes=attributes,
            )

    def _attributes(self, events: Iterable[Event], shown: Mapping[str, str | bool]) -> Attributes:
        """Return those of *shown* that are not empty, and what neither they nor the resource say of *events*."""
        known = map_unshown(events)
        for name in _OF_THE_FUNCTION & known.keys():
            if self._resource.has(name, known[name]):
                del known[name]
        return known | {key: escape_surrogates(value) for key, value in shown.items() if value != ""}

    def _span(
        self,
        name: str,
        context: SpanContext,
        *,
        start_ns: int,
        end_ns: int,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: SpanContext | None = None,
        links: Sequence[Link] = (),
        error_type: str = "",
        error_message: str = "",
        attributes: Attributes = _NO_ATTRIBUTES,
    ) -> ReadableSpan:
        error_type = escape_surrogates(error_type)
        return ReadableSpan(
            escape_surrogates(name),
            context=context,
            parent=parent,
            resource=_NO_RESOURCE,
            attributes={**attributes, "error.type": error_type} if error_type else attributes,
            links=links,
            kind=kind,
            # The description explains, and never repeats the type.
            # https://opentelemetry.io/docs/specs/semconv/general/recording-errors/
            status=Status(StatusCode.ERROR, escape_surrogates(error_message) or None) if error_type else _UNSET,
            start_time=start_ns,
            end_time=end_ns,
            instrumentation_scope=self._scope,
        )


def _context(trace_id: str, *, span_id: str, is_remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=_SAMPLED)


def _upstream(outcome: CompletedInvocation) -> SpanContext | None:
    """Return the caller's span, from the X-Ray header; None if it belongs to another trace."""
    tracing = outcome.tracing
    is_parent = tracing.parent_id and tracing.trace_id == outcome.trace_id
    return _context(outcome.trace_id, span_id=tracing.parent_id, is_remote=True) if is_parent else None


def _runtime_phase(outcome: CompletedPhase) -> tuple[PhaseSpan, ...]:
    """Return the runtime's own part of an init or restore; empty if Lambda did not report its end."""
    if not outcome.runtime_done_ns:
        return ()
    duration_s = (outcome.runtime_done_ns - outcome.start_ns) / 1_000_000_000
    return (PhaseSpan(f"{outcome.kind}Runtime", outcome.start_ns, max(0.0, duration_s)),)
