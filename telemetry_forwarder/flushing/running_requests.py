"""Which invocation is running, judged by request ids that come in any order, late, twice or never. Pure.

A very short invocation can end before its INVOKE has reached us, and a retry of an asynchronous invocation
has the request id of the first attempt.
"""

from enum import Enum

_MOST_KNOWN = 64


class _State(Enum):
    RUNNING = "running"
    ENDED_EARLY = "ended before it was invoked"
    ENDED = "ended"


class RunningRequests:
    """Knows the latest invocation, and as much of the earlier ones as is needed to recognise their ends."""

    __slots__ = ("_latest", "_states", "has_report")

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}
        self._latest = ""
        self.has_report = True
        """Whether the latest invocation, if there was one, has had its platform.report."""

    @property
    def is_running(self) -> bool:
        """Whether the latest invocation was begun, and not ended as far as we know."""
        return self._states.get(self._latest) is _State.RUNNING

    def invoked(self, request_id: str) -> None:
        ended_early = self._states.pop(request_id, None) is _State.ENDED_EARLY
        self._states[request_id] = _State.ENDED if ended_early else _State.RUNNING
        self._latest = request_id
        self.has_report = False
        self._forget_the_oldest()

    def runtime_done(self, request_id: str) -> None:
        state = self._states.get(request_id)
        if state is None:
            self._states[request_id] = _State.ENDED_EARLY
            self._forget_the_oldest()
        elif state is _State.RUNNING:
            self._states[request_id] = _State.ENDED

    def reported(self, request_id: str) -> None:
        """Its report says that it is over, should its end have gone lost."""
        if request_id in self._states:
            self.runtime_done(request_id)
        if request_id == self._latest:
            self.has_report = True

    def _forget_the_oldest(self) -> None:
        if len(self._states) > _MOST_KNOWN:
            del self._states[next(iter(self._states))]
