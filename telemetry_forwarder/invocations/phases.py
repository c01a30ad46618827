"""Follows the init and the restore of an environment until they are over and their invocation is known. Pure."""

from collections.abc import Callable

from telemetry_forwarder.core.frozen import state
from telemetry_forwarder.invocations.completed import CompletedPhase
from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.telemetry.records import (
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
_INIT, _RESTORE, _SNAP_START, _SUPPRESSED = "init", "restore", "snap-start", "invoke"
# An environment has one init, or two if the first one failed, and a restore. The oldest goes first.
_MAX_PHASES = 16


@state
class Phase:
    """An init or a restore that has begun."""

    kind: str
    name: str
    """Of an init: `init`, `invoke`, `snap-start`."""
    initialization_type: str
    start_ns: int
    has_start: bool = True
    """Whether Lambda told its beginning."""
    runtime_done_ns: int = 0
    end_ns: int = 0
    duration_s: float | None = None
    status: str = ""
    error_type: str = ""
    spans: tuple[PhaseSpan, ...] = ()
    parent: Invocation | None = None
    """The invocation that it was made for, once that is known."""

    @property
    def is_suppressed(self) -> bool:
        """Whether it is an init done once more, inside an invocation."""
        return self.kind == _INIT and self.name == _SUPPRESSED

    @property
    def is_cold_start(self) -> bool:
        """Whether the invocation that it is made for waits for it."""
        return self.kind == _RESTORE or self.is_suppressed or self.initialization_type in _COLD_STARTS

    @property
    def is_shared(self) -> bool:
        """Whether it belongs to no invocation: the init of a snapshot is shared by all that restore it."""
        return self.kind == _INIT and _SNAP_START in (self.initialization_type, self.name)

    @property
    def is_finished(self) -> bool:
        return self.end_ns > 0 and (self.parent is not None or self.is_shared)


class Phases:
    """The phases that have begun and were not given out yet, in the order in which they began."""

    def __init__(self, new_id: Callable[[int], str]) -> None:
        self._new_id = new_id
        self._open: list[Phase] = []
        self.runtime_done_ns = 0
        """When the runtime was last ready; 0 while it is not known."""

    @property
    def is_running(self) -> bool:
        """Whether one has begun whose runtime is not ready."""
        return any(not phase.runtime_done_ns and not phase.end_ns for phase in self._open)

    def observe(self, event: Event) -> None:
        """Take in an event, which may be of a phase or not."""
        match event:
            case InitStart():
                self._begin(Phase(_INIT, event.phase, event.initialization_type, event.moment_ns))
            case RestoreStart():
                self._begin(Phase(_RESTORE, "", _SNAP_START, event.moment_ns))
            case InitRuntimeDone():
                self._runtime_done(
                    event, self._going_on(_INIT, event.phase, event.initialization_type, event)
                )
            case RestoreRuntimeDone():
                self._runtime_done(event, self._going_on(_RESTORE, "", _SNAP_START, event))
            case InitReport():
                self._end(event, self._going_on(_INIT, event.phase, event.initialization_type, event))
            case RestoreReport():
                self._end(event, self._going_on(_RESTORE, "", _SNAP_START, event))
            case _:
                pass

    def take_completed(
        self, made_for: Callable[[Phase], Invocation | None], *, everything: bool = False
    ) -> list[CompletedPhase]:
        """The phases that are over and whose invocation is known, which learns here that it was cold.

        With *everything*, all, whatever is still missing.
        """
        for phase in self._open:
            if phase.parent is None and not phase.is_shared:
                phase.parent = made_for(phase)
                if phase.parent is not None and phase.is_cold_start:
                    phase.parent.is_cold = True
        taken = [phase for phase in self._open if everything or phase.is_finished]
        self._open = [phase for phase in self._open if phase not in taken]
        return [self._finish(phase) for phase in taken]

    def _begin(self, phase: Phase) -> Phase:
        self._open = [*self._open[1 - _MAX_PHASES :], phase]
        return phase

    def _going_on(self, kind: str, name: str, initialization_type: str, event: Event) -> Phase:
        """The phase that *event* tells more of. If its beginning was lost, it begins here."""
        going_on = [phase for phase in self._open if phase.kind == kind and not phase.end_ns]
        if not going_on:
            return self._begin(Phase(kind, name, initialization_type, event.moment_ns, has_start=False))
        phase = next((phase for phase in going_on if phase.name == name), going_on[-1])
        phase.name = name or phase.name
        return phase

    def _runtime_done(self, event: InitRuntimeDone | RestoreRuntimeDone, phase: Phase) -> None:
        self.runtime_done_ns = phase.runtime_done_ns = event.moment_ns
        phase.status, phase.error_type = event.status, event.error_type
        phase.spans += event.spans

    def _end(self, event: InitReport | RestoreReport, phase: Phase) -> None:
        if not phase.has_start:
            duration_ns = round((event.duration_s or 0.0) * 1_000_000_000)
            phase.start_ns = max(0, min(phase.start_ns, event.moment_ns - duration_ns))
        phase.end_ns = max(event.moment_ns, phase.start_ns)
        phase.duration_s = event.duration_s
        phase.status = event.status or phase.status
        phase.error_type = event.error_type or phase.error_type
        phase.spans += tuple(span for span in event.spans if span not in phase.spans)

    def _finish(self, phase: Phase) -> CompletedPhase:
        parent = phase.parent
        return CompletedPhase(
            kind=phase.kind,
            phase=phase.name,
            initialization_type=phase.initialization_type,
            trace_id=parent.trace_id if parent else self._new_id(16),
            span_id=self._new_id(8),
            parent_span_id=parent.span_id if parent else "",
            is_sampled=(parent.tracing if parent else Tracing()).is_sampled,
            start_ns=phase.start_ns,
            end_ns=phase.end_ns or max(phase.runtime_done_ns, phase.start_ns),
            runtime_done_ns=phase.runtime_done_ns,
            duration_s=phase.duration_s,
            status=phase.status,
            error_type=phase.error_type,
            spans=phase.spans,
        )
