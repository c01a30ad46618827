"""Tracks which invocation is running, by events that may arrive in any order, late, twice or never. Pure.

A very short invocation can end before its INVOKE event arrives. A retry of an asynchronous invocation has the
request id of the first attempt.
"""

from enum import Enum

_LIMIT = 64


class _State(Enum):
    RUNNING = "running"
    ENDED_EARLY = "ended before it was invoked"
    ENDED = "ended"


class RunningRequests:
    """The state of the latest invocation, and of earlier ones to recognise their late events."""

    __slots__ = ("_latest", "_states", "has_report")

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}
        self._latest = ""
        self.has_report = True
        """Whether the platform.report of the latest invocation has arrived; true before the first invocation."""

    @property
    def is_running(self) -> bool:
        """Whether the latest invocation has started and its end is not known."""
        return self._states.get(self._latest) is _State.RUNNING

    def invoked(self, request_id: str) -> None:
        """INVOKE arrived."""
        ended_early = self._states.pop(request_id, None) is _State.ENDED_EARLY
        self._states[request_id] = _State.ENDED if ended_early else _State.RUNNING
        self._latest = request_id
        self.has_report = False
        self._forget_oldest()

    def runtime_done(self, request_id: str) -> None:
        """platform.runtimeDone arrived."""
        state = self._states.get(request_id)
        if state is None:
            self._states[request_id] = _State.ENDED_EARLY
            self._forget_oldest()
        elif state is _State.RUNNING:
            self._states[request_id] = _State.ENDED

    def reported(self, request_id: str) -> None:
        """platform.report arrived. It also ends an invocation whose platform.runtimeDone was lost."""
        if request_id in self._states:
            self.runtime_done(request_id)
        if request_id == self._latest:
            self.has_report = True

    def _forget_oldest(self) -> None:
        if len(self._states) > _LIMIT:
            del self._states[next(iter(self._states))]
