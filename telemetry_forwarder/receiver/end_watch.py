"""Finds the end of the current invocation in posts that nobody has converted yet.

The main thread limits by it how long `next` is withheld, whatever the worker is doing. Called by the main thread and
the listener; a lock guards the state.
"""

import re
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_forwarder.receiver.messages import InvokeEvent

# Searched for first: a plain search in a post of 1 MiB takes a fraction of a millisecond.
_TYPE = b"platform.runtimeDone"
# The event as Lambda writes it. Quotes within a string are escaped, so the text of a line cannot match.
# The pattern begins with a literal, for which `re` searches fast.
_END = re.compile(
    rb'"time"\s*:\s*"[^"]{0,64}"\s*,\s*"type"\s*:\s*"platform\.runtimeDone"\s*,\s*"record"\s*:\s*\{'
    rb'.{0,1000}?"requestId"\s*:\s*"([^"]{1,64})"',
    re.DOTALL,
)
_BEFORE_BYTES = 16
_REMEMBERED = 64


class EndWatch:
    """Notes the end of the INVOKE event whose platform.runtimeDone has arrived, in whichever order both arrive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: InvokeEvent | None = None
        self._early: dict[str, None] = {}
        """Request ids whose end has arrived before their INVOKE."""

    def expect(self, event: "InvokeEvent") -> None:
        """Begin to watch for the end of *event*; it may have arrived already."""
        with self._lock:
            # Removed, because a retry of the invocation has the same request id.
            has_ended = event.request_id in self._early
            self._early.pop(event.request_id, None)
            self._expected = None if has_ended else event
        if has_ended:
            event.end()

    def search(self, content: bytes) -> None:
        """Search the body of a post. Does not block."""
        if _TYPE in content:
            for found in _END.finditer(content):
                if _is_event(content, found.start()):
                    self._note_end(found[1].decode("ascii", "replace"))

    def _note_end(self, request_id: str) -> None:
        with self._lock:
            event = self._expected
            if event is not None and event.request_id == request_id:
                self._expected = None
                event.end()
                return
            self._early[request_id] = None
            if len(self._early) > _REMEMBERED:
                del self._early[next(iter(self._early))]


def _is_event(content: bytes, at: int) -> bool:
    """Return whether the object whose first key is *at* is an event: not a value in an object that was logged as JSON.

    If the function logs a list with a copy of the event behind another object, `next` is called too early for it.
    """
    before = b"".join(content[max(0, at - _BEFORE_BYTES) : at].split())
    return before in (b"{", b"[{") or (before.endswith(b"{") and not before.endswith((b":{", b"[{")))
