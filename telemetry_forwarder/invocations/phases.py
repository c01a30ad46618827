"""Tracks the init and the restore of an environment until they have ended and their invocation is known. No I/O."""

from collections.abc import Callable

from telemetry_forwarder.invocations.completed import CompletedPhase
from telemetry_forwarder.invocations.invocation import Invocation, PresumedEnd
from telemetry_forwarder.telemetry import records
from telemetry_forwarder.telemetry.records import End, Event, PhaseSpan, Tracing

# Only these delay an invocation: provisioned and managed environments are initialised in advance.
_COLD_STARTS = frozenset({"", "on-demand"})
# At most between the end of a phase and the invocation that waited for it. Lambda may also make an init of the type
# on-demand in advance. https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
_MAX_GAP_NS = 1_000_000_000
_INIT, _RESTORE, _SNAP_START = "init", "restore", "snap-start"
# An environment has one init, or two if the first one failed, and a restore. The oldest is dropped first.
_MAX_PHASES = 16


class Phase:
    """An init or a restore that has begun."""

    def __init__(self, event: Event, *, has_start: bool) -> None:
        is_restore = isinstance(event, records.RestoreStart | records.RestoreRuntimeDone | records.RestoreReport)
        self.kind = _RESTORE if is_restore else _INIT
        self.name: str = getattr(event, "phase", "")
        """Of an init: `init`, `invoke`, `snap-start`."""
        self.initialization_type: str = getattr(event, "initialization_type", _SNAP_START)
        self.start_ns = event.moment_ns
        self.has_start = has_start
        """Whether Lambda reported its beginning."""
        self.runtime_done_ns = 0
        self.end_ns = 0
        self.duration_s: float | None = None
        self.status = ""
        self.error_type = ""
        self.spans: tuple[PhaseSpan, ...] = ()
        self.events: tuple[Event, ...] = ()
        self.parent: Invocation | None = None
        """The invocation that it precedes, once that is known."""
        self.is_late_cold_start = False
        """Whether that invocation had been taken before, without being known as a cold start."""

    @property
    def is_suppressed(self) -> bool:
        """Whether it is an init repeated inside an invocation, whose phase Lambda names `invoke`."""
        return self.kind == _INIT and self.name == "invoke"

    @property
    def is_cold_start(self) -> bool:
        """Whether its invocation waits for it."""
        return self.kind == _RESTORE or self.is_suppressed or self.initialization_type in _COLD_STARTS

    @property
    def is_shared(self) -> bool:
        """Whether it belongs to no invocation: all that restore a snapshot share its init."""
        return self.kind == _INIT and _SNAP_START in (self.initialization_type, self.name)

    @property
    def is_completed(self) -> bool:
        return self.end_ns > 0 and (self.parent is not None or self.is_shared)

    @property
    def last_ns(self) -> int:
        """When it ended, as far as is known."""
        return self.end_ns or self.runtime_done_ns or self.start_ns

    def misses(self, event: Event) -> bool:
        """Return whether *event*, of the same kind, can be the part of it that has not arrived yet."""
        match event:
            case records.InitStart() | records.RestoreStart():
                ends_ns = self.runtime_done_ns or self.end_ns
                return not self.has_start and event.moment_ns <= ends_ns and self._may_be_named(event)
            case records.InitRuntimeDone() | records.RestoreRuntimeDone():
                return not self.runtime_done_ns
        return not self.end_ns

    def add_spans(self, spans: tuple[PhaseSpan, ...]) -> None:
        """Add those that no earlier event contained."""
        self.spans += tuple(span for span in spans if span not in self.spans)

    def _may_be_named(self, event: Event) -> bool:
        return not self.name or getattr(event, "phase", "") in ("", self.name)


class Phases:
    """The phases that have begun and were not taken yet, in the order in which they began."""

    def __init__(self, new_id: Callable[[int], str]) -> None:
        self._new_id = new_id
        self._open: list[Phase] = []
        self._taken: list[Phase] = []
        """For late events: they change nothing, but must not begin another phase."""
        self._exceptions: list[tuple[int, str]] = []
        """Time and message of the uncaught exceptions that were logged outside of invocations."""
        self.runtime_done_ns = 0
        """When the runtime was last ready; 0 if unknown."""

    @property
    def is_running(self) -> bool:
        """Whether a phase has begun whose runtime is not ready."""
        return any(not phase.runtime_done_ns and not phase.end_ns for phase in self._open)

    @property
    def has_open(self) -> bool:
        """Whether a phase has begun that was not reported."""
        return any(not phase.end_ns for phase in self._open)

    @property
    def has_init_in_advance(self) -> bool:
        """Whether an init is known that no invocation waited for."""
        return any(phase.kind == _INIT and not phase.is_cold_start for phase in (*self._open, *self._taken))

    def observe(self, event: Event) -> bool:
        """Apply an event, unless it belongs to no phase; return whether a span will show it."""
        match event:
            case records.InitStart() | records.RestoreStart():
                self._start(event, phase := self._find(event))
            case records.InitRuntimeDone() | records.RestoreRuntimeDone():
                self._runtime_done(event, phase := self._find(event))
            case records.InitReport() | records.RestoreReport():
                self._end(event, phase := self._find(event))
            case _:
                return False
        phase.events += (event,)
        return phase not in self._taken

    def note_exception(self, message: str, time_ns: int) -> None:
        """Remember an uncaught exception of no invocation: if a phase fails at that time, this is why."""
        self._exceptions = [*self._exceptions[1 - _MAX_PHASES :], (time_ns, message)]

    def take_completed(
        self, find_parent: Callable[[Phase], Invocation | None], *, shutdown: PresumedEnd | None = None
    ) -> list[CompletedPhase]:
        """Return finished phases whose invocation is known, and mark that invocation as a cold start.

        At *shutdown*, return all phases, finished or not.
        """
        # An invocation may become known only after its init was taken, at shutdown.
        for phase in (*self._taken, *self._open):
            if phase.parent is None and not phase.is_shared:
                phase.parent = find_parent(phase)
                if phase.parent is not None and phase.is_cold_start:
                    phase.is_late_cold_start = phase.parent.is_taken and not phase.parent.is_cold
                    phase.parent.is_cold = True
                    if 0 <= phase.parent.start_ns - phase.last_ns <= _MAX_GAP_NS:
                        # The first one, if Lambda repeated a restore or an init.
                        phase.parent.waits_since_ns = phase.parent.waits_since_ns or phase.start_ns
        taken = [phase for phase in self._open if shutdown or phase.is_completed]
        self._open = [phase for phase in self._open if phase not in taken]
        self._taken = [*self._taken, *taken][-_MAX_PHASES:]
        return [self._complete(phase, shutdown) for phase in taken]

    def _find(self, event: Event) -> Phase:
        """Return the phase that *event* belongs to, also if that was taken already; otherwise, begin one."""
        new = Phase(event, has_start=False)
        candidates = [phase for phase in self._open if phase.kind == new.kind and phase.misses(event)]
        if not candidates:
            late = [phase for phase in self._taken if phase.kind == new.kind and phase.misses(event)]
            candidates = [phase for phase in late if phase.name == new.name]
        if not candidates:
            self._open = [*self._open[1 - _MAX_PHASES :], new]
            return new
        phase = next((phase for phase in candidates if phase.name == new.name), candidates[-1])
        phase.name = new.name or phase.name
        return phase

    def _start(self, event: Event, phase: Phase) -> None:
        phase.has_start = True
        phase.start_ns = event.moment_ns
        phase.initialization_type = getattr(event, "initialization_type", "") or phase.initialization_type

    def _runtime_done(self, event: End, phase: Phase) -> None:
        self.runtime_done_ns = phase.runtime_done_ns = event.moment_ns
        # The report is newer, although it may arrive first.
        phase.status = phase.status or event.status
        phase.error_type = phase.error_type or event.error_type
        phase.add_spans(event.spans)

    def _end(self, event: End, phase: Phase) -> None:
        if not phase.has_start:
            duration_ns = round((event.duration_s or 0.0) * 1_000_000_000)
            phase.start_ns = max(0, min(phase.start_ns, event.moment_ns - duration_ns))
        end_ns = event.moment_ns
        if phase.kind == _INIT and phase.initialization_type not in _COLD_STARTS and event.duration_s is not None:
            # The report of an init in advance is sent during the first invocation, however late that is.
            # https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-initReport
            duration_ns = round(event.duration_s * 1_000_000_000)
            end_ns = max(phase.runtime_done_ns, min(end_ns, phase.start_ns + duration_ns))
        phase.end_ns = max(end_ns, phase.start_ns)
        phase.duration_s = event.duration_s
        phase.status = event.status or phase.status
        phase.error_type = event.error_type or phase.error_type
        phase.add_spans(event.spans)

    def _complete(self, phase: Phase, shutdown: PresumedEnd | None) -> CompletedPhase:
        parent = phase.parent
        end_ns, status = phase.end_ns or phase.runtime_done_ns, phase.status
        if not end_ns and parent is not None and parent.start_ns > phase.start_ns:
            end_ns = parent.start_ns
        elif not end_ns and shutdown is not None and shutdown.status:
            end_ns, status = shutdown.at_ns, shutdown.status
        end_ns = max(end_ns, phase.start_ns)
        messages = [message for time_ns, message in self._exceptions if phase.start_ns <= time_ns <= end_ns]
        if phase.is_suppressed and parent is not None:
            messages.append(parent.exception_message)
        return CompletedPhase(
            kind=phase.kind,
            phase=phase.name,
            initialization_type=phase.initialization_type,
            trace_id=parent.trace_id if parent else self._new_id(16),
            span_id=self._new_id(8),
            parent_span_id=parent.span_id if parent else "",
            is_sampled=(parent.tracing if parent else Tracing()).is_sampled,
            start_ns=phase.start_ns,
            end_ns=end_ns,
            runtime_done_ns=phase.runtime_done_ns,
            duration_s=phase.duration_s,
            status=status,
            error_type=phase.error_type,
            error_message=messages[-1] if messages else "",
            spans=phase.spans,
            events=phase.events,
            is_late_cold_start=phase.is_late_cold_start,
        )
