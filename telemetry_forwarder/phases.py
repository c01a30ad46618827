"""Follows the init and the restore of an environment until they are over and their invocation is known. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from telemetry_forwarder.outcomes import FinishedPhase
from telemetry_forwarder.records import (
    Event,
    InitReport,
    InitRuntimeDone,
    InitStart,
    PhaseSpan,
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    Tracing,
)

# Only these make somebody wait: provisioned and managed environments are initialized before anybody asks.
_COLD_STARTS = frozenset({"", "on-demand"})
_MAX_PHASES = 16
_MAX_TOLD = 256


@dataclass(slots=True)
class _Phase:
    kind: str
    phase: str
    initialization_type: str
    start_ns: int
    runtime_done_ns: int = 0
    end_ns: int = 0
    duration_s: float | None = None
    status: str = ""
    error_type: str = ""
    spans: tuple[PhaseSpan, ...] = ()

    @property
    def is_before_invocations(self) -> bool:
        """Whether it belongs to no invocation: the init of a snapshot is shared by all that restore it."""
        return self.kind == "init" and "snap-start" in (self.initialization_type, self.phase)


class Phases:
    """The phases that have begun and were not given out yet, in the order in which they began."""

    def __init__(self, new_id: Callable[[int], str]) -> None:
        self._new_id = new_id
        self._open: list[_Phase] = []
        self._told: set[tuple[str, int]] = set()
        self._is_cold = False
        self.runtime_done_ns = 0
        """When the runtime was last ready; 0 while it is not known."""

    def observe(self, event: Event) -> bool:
        """Take in an event of a phase; say whether it was news. Events of no phase are always news."""
        if (event.type, event.time_ns) in self._told:
            return False
        match event:
            case InitStart():
                self._begin(_Phase("init", event.phase, event.initialization_type, event.time_ns))
            case RestoreStart():
                self._begin(_Phase("restore", "", "snap-start", event.time_ns))
            case InitRuntimeDone() | RestoreRuntimeDone():
                self._runtime_done(event)
            case InitReport():
                self._end(event, "init", event.phase, event.initialization_type)
            case RestoreReport():
                self._end(event, "restore", "", "snap-start")
            case _:
                return True
        if len(self._told) >= _MAX_TOLD:
            self._told.clear()
        self._told.add((event.type, event.time_ns))
        return True

    def take_cold_start(self) -> bool:
        """Whether the invocation that begins now has waited for a phase. True once per phase."""
        is_cold, self._is_cold = self._is_cold, False
        return is_cold

    def take_finished(
        self, parent: tuple[Tracing, str, str] | None, *, everything: bool = False
    ) -> list[FinishedPhase]:
        """The phases that are over, as children of *parent* (its tracing, trace id and span id).

        Without a parent only those that need none; with *everything*, all, whatever is still missing.
        """
        taken = [
            phase
            for phase in self._open
            if everything or (phase.end_ns and (parent is not None or phase.is_before_invocations))
        ]
        self._open = [phase for phase in self._open if phase not in taken]
        return [self._finish(phase, parent) for phase in taken]

    def _begin(self, phase: _Phase) -> None:
        self._open = self._open[-_MAX_PHASES:] + [phase]
        self._is_cold = phase.kind == "restore" or phase.initialization_type in _COLD_STARTS

    def _runtime_done(self, event: InitRuntimeDone | RestoreRuntimeDone) -> None:
        self.runtime_done_ns = event.time_ns
        kind = "init" if isinstance(event, InitRuntimeDone) else "restore"
        phase = self._going_on(kind)
        if phase is not None:
            phase.runtime_done_ns = event.time_ns
            phase.status, phase.error_type = event.status, event.error_type
            phase.spans += event.spans

    def _end(
        self, event: InitReport | RestoreReport, kind: str, phase_name: str, initialization_type: str
    ) -> None:
        phase = self._going_on(kind)
        if phase is None:
            # Its beginning was lost: what the report says is enough for a span.
            duration_ns = round((event.duration_s or 0.0) * 1_000_000_000)
            phase = _Phase(kind, phase_name, initialization_type, event.time_ns - duration_ns)
            self._begin(phase)
        phase.end_ns = max(event.time_ns, phase.start_ns)
        phase.phase = phase_name or phase.phase
        phase.duration_s = event.duration_s
        phase.status = event.status or phase.status
        phase.error_type = event.error_type or phase.error_type
        phase.spans += tuple(span for span in event.spans if span not in phase.spans)

    def _going_on(self, kind: str) -> _Phase | None:
        for phase in reversed(self._open):
            if phase.kind == kind and not phase.end_ns:
                return phase
        return None

    def _finish(self, phase: _Phase, parent: tuple[Tracing, str, str] | None) -> FinishedPhase:
        if parent is None or phase.is_before_invocations:
            parent = (Tracing(), self._new_id(16), "")
        tracing, trace_id, parent_span_id = parent
        return FinishedPhase(
            kind=phase.kind,
            phase=phase.phase,
            initialization_type=phase.initialization_type,
            trace_id=trace_id,
            span_id=self._new_id(8),
            parent_span_id=parent_span_id,
            is_sampled=tracing.is_sampled,
            start_ns=phase.start_ns,
            end_ns=phase.end_ns or max(phase.runtime_done_ns, phase.start_ns),
            runtime_done_ns=phase.runtime_done_ns,
            duration_s=phase.duration_s,
            status=phase.status,
            error_type=phase.error_type,
            spans=phase.spans,
        )
