"""What is over -> OTLP spans: the SDK's ReadableSpan, encoded by the official exporter's encoder. Pure.

One invocation is one SERVER span with Lambda's phases under it; the init or restore made for it hangs there too, so
that a trace is one tree. https://opentelemetry.io/docs/specs/semconv/faas/aws-lambda/
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from telemetry_forwarder.core.batch import SPANS, Batch
from telemetry_forwarder.invocations.completed import (
    Completed,
    CompletedInvocation,
    CompletedPhase,
    LateSpans,
)
from telemetry_forwarder.otlp.common import HashedOnce, OfResource, clean
from telemetry_forwarder.otlp.protobuf import field
from telemetry_forwarder.telemetry.records import PhaseSpan

SCOPE = "aws.lambda"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_RUNTIME_PHASES = {"init": "initRuntime", "restore": "restoreRuntime"}
_ARN_PARTS = 7
_RESOURCE_SPANS = b"\x0a"
_UNSET = Status()
# What the spans have for a resource until theirs is put before them, which is encoded once.
_NONE = HashedOnce(Resource.get_empty())


class SpanEncoder(OfResource):
    """Turns what is over into spans. Remembers nothing."""

    def __init__(
        self,
        resource: Resource,
        version: str,
        *,
        trace_parent: str,
        sampling: str,
        new_id: Callable[[int], str],
    ) -> None:
        """*trace_parent*: `link`, `parent` or `none`; *sampling*: `all`, or `xray` to follow its flag."""
        super().__init__(resource)
        self._scope = InstrumentationScope(SCOPE, version)
        self._trace_parent = trace_parent
        self._sampling = sampling
        self._new_id = new_id

    def encode(self, finished: Iterable[Completed]) -> Batch | None:
        """One batch with all their spans; None if there are none."""
        spans = [span for outcome in finished for span in self._spans(outcome)]
        if not spans:
            return None
        [of_resource] = encode_spans(spans).resource_spans
        of_resource.ClearField("resource")
        body = field(_RESOURCE_SPANS, self._resource_field + of_resource.SerializeToString())
        return Batch(SPANS, body, len(spans))

    def _spans(self, outcome: Completed) -> Iterator[ReadableSpan]:
        match outcome:
            case CompletedInvocation():
                if self._is_wanted(outcome.tracing.is_sampled):
                    yield from self._invocation(outcome)
            case CompletedPhase():
                if self._is_wanted(outcome.is_sampled):
                    yield from self._phase(outcome)
            case LateSpans():  # pragma: no branch  # there is no other
                if self._is_wanted(outcome.is_sampled):
                    context = _context(outcome.trace_id, outcome.parent_span_id)
                    yield from self._children(context, outcome.spans)

    def _is_wanted(self, is_sampled: bool | None) -> bool:
        return self._sampling == "all" or is_sampled is not False

    def _invocation(self, outcome: CompletedInvocation) -> Iterator[ReadableSpan]:
        context = _context(outcome.trace_id, outcome.span_id)
        upstream = None
        if outcome.tracing.parent_id and outcome.tracing.trace_id == outcome.trace_id:
            upstream = _context(outcome.trace_id, outcome.tracing.parent_id, is_remote=True)
        yield self._span(
            str(self.resource.attributes.get("faas.name") or "invocation"),
            context,
            outcome.start_ns,
            outcome.end_ns,
            kind=SpanKind.SERVER,
            parent=upstream if self._trace_parent == "parent" else None,
            links=[Link(upstream)] if upstream and self._trace_parent == "link" else [],
            error_type=outcome.error_type,
            attributes={
                "faas.invocation_id": clean(outcome.request_id),
                "faas.coldstart": outcome.is_cold,
                "aws.lambda.invoked_arn": clean(outcome.arn),
                "cloud.resource_id": clean(self._resource_id(outcome.arn)),
                "lambda.status": clean(outcome.status),
                "lambda.tenant_id": clean(outcome.tenant_id),
            },
        )
        yield from self._children(context, outcome.spans)

    def _phase(self, outcome: CompletedPhase) -> Iterator[ReadableSpan]:
        context = _context(outcome.trace_id, outcome.span_id)
        is_suppressed = outcome.kind == "init" and outcome.phase == "invoke"
        yield self._span(
            "suppressed init" if is_suppressed else outcome.kind,
            context,
            outcome.start_ns,
            outcome.end_ns,
            parent=_context(outcome.trace_id, outcome.parent_span_id) if outcome.parent_span_id else None,
            error_type=outcome.error_type or _failure(outcome.status),
            attributes={
                "lambda.initialization_type": clean(outcome.initialization_type),
                "lambda.phase": clean(outcome.phase),
                "lambda.status": clean(outcome.status),
            },
        )
        if outcome.runtime_done_ns:
            duration_s = (outcome.runtime_done_ns - outcome.start_ns) / 1_000_000_000
            runtime = PhaseSpan(_RUNTIME_PHASES[outcome.kind], outcome.start_ns, max(0.0, duration_s))
            yield from self._children(context, (runtime,))
        yield from self._children(context, outcome.spans)

    def _children(self, parent: SpanContext, phases: Iterable[PhaseSpan]) -> Iterator[ReadableSpan]:
        for phase in phases:
            yield self._span(
                clean(phase.name),
                SpanContext(parent.trace_id, int(self._new_id(8), 16), is_remote=False, trace_flags=_SAMPLED),
                phase.start_ns,
                phase.start_ns + round(phase.duration_s * 1_000_000_000),
                parent=parent,
            )

    def _span(
        self,
        name: str,
        context: SpanContext,
        start_ns: int,
        end_ns: int,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: SpanContext | None = None,
        links: Iterable[Link] = (),
        error_type: str = "",
        attributes: dict[str, Any] | None = None,
    ) -> ReadableSpan:
        known = {key: value for key, value in (attributes or {}).items() if value != ""}
        if error_type:
            known["error.type"] = error_type = clean(error_type)
        return ReadableSpan(
            name,
            context=context,
            parent=parent,
            resource=_NONE,
            attributes=known,
            links=list(links),
            kind=kind,
            status=Status(StatusCode.ERROR, error_type) if error_type else _UNSET,
            start_time=start_ns,
            end_time=end_ns,
            instrumentation_scope=self._scope,
        )

    def _resource_id(self, arn: str) -> str:
        """The ARN with an alias replaced by the version that it stands for."""
        parts = arn.split(":")
        version = str(self.resource.attributes.get("faas.version") or "")
        return ":".join([*parts[:_ARN_PARTS], version]) if len(parts) > _ARN_PARTS and version else arn


def _context(trace_id: str, span_id: str, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=_SAMPLED)


def _failure(status: str) -> str:
    return "" if status in ("", "success") else status
