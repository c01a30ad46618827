"""Starts threads, now or later."""

import _thread

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
            _make_startable(thread)
            raise ThreadStartError(f"{thread.name}: {str(exc) or 'no memory for a thread'}") from exc


def _make_startable(thread: "Thread") -> None:
    # Python 3.13 and newer mark a thread as started even if its start has failed. The name is that of 3.14, or of 3.13.
    for name in ("_os_thread_handle", "_handle"):
        if hasattr(thread, name):
            setattr(thread, name, _thread._ThreadHandle())  # type: ignore[attr-defined]  # noqa: SLF001
