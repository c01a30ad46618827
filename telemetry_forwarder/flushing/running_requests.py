"""Tracks which invocation is running, by events that may arrive in any order, late, twice or never. No I/O.

A very short invocation can end before its INVOKE event arrives. A retry of an asynchronous invocation has the
request id of the first attempt.
"""

_LIMIT = 64


class RunningRequests:
    """The state of the latest invocation, and the request ids of others to recognise their late events."""

    def __init__(self) -> None:
        self._latest: str | None = None
        self._was_invoked: dict[str, bool] = {}
        """By request id, oldest first; false if only the end of the invocation is known."""
        self.is_running = False
        """Whether the latest invocation has started and its end is not known."""
        self.has_report = True
        """Whether the platform.report of the latest invocation has arrived; true before the first invocation."""

    def invoked(self, request_id: str) -> None:
        self._latest = request_id
        self.is_running = self._was_invoked.pop(request_id, True)
        self.has_report = False
        self._remember(request_id, was_invoked=True)

    def runtime_done(self, request_id: str) -> None:
        if request_id == self._latest:
            self.is_running = False
        elif request_id not in self._was_invoked:
            self._remember(request_id, was_invoked=False)

    def reported(self, request_id: str) -> None:
        if request_id == self._latest:
            self.is_running = False
            self.has_report = True

    def _remember(self, request_id: str, *, was_invoked: bool) -> None:
        self._was_invoked[request_id] = was_invoked
        if len(self._was_invoked) > _LIMIT:
            del self._was_invoked[next(iter(self._was_invoked))]
