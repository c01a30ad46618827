"""Starts threads, now or later."""

from telemetry_forwarder.errors import ThreadStartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Thread


def start_thread(thread: "Thread") -> None:
    """Start *thread* unless it was started before. Raises `ThreadStartError`; then it can be tried again."""
    if thread.ident is None:
        try:
            thread.start()
        except (RuntimeError, MemoryError) as exc:
            raise ThreadStartError(f"{thread.name}: {str(exc) or 'no memory for a thread'}") from exc
