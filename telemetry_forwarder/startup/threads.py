"""Starts threads, now or later, and reports what they raise. All but the main thread leave signals to it.

Only the main thread runs the handlers of signals. If the kernel delivers a signal to another one, as it may after a
freeze, the main thread continues to wait.
"""

import _signal  # type: ignore[import-not-found]  # the C module behind `signal`, which would import `enum`
import _thread
import sys

from telemetry_forwarder.errors import ThreadStartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import ExceptHookArgs, Thread

    from telemetry_forwarder.diagnostics import Diagnostics


def log_uncaught(log: "Diagnostics") -> None:
    """From now on, log one line for an exception that ends a thread or a destructor, not a traceback without mark."""
    import threading

    def log_exception(uncaught: "ExceptHookArgs | sys.UnraisableHookArgs") -> None:
        where = getattr(uncaught, "thread", None) or getattr(uncaught, "object", None)
        name = getattr(where, "name", None) or getattr(where, "__qualname__", None) or type(where).__name__
        log.error(f"{name} has failed: {uncaught.exc_type.__name__}: {uncaught.exc_value}")

    threading.excepthook = sys.unraisablehook = log_exception


def start_thread(thread: "Thread") -> None:
    """Start *thread* unless it was started before. Raises `ThreadStartError`; then it can be tried again."""
    if thread.ident is None:
        try:
            start_without_signals(thread.start)
        except (RuntimeError, MemoryError) as exc:
            _make_startable(thread)
            raise ThreadStartError(f"{thread.name}: {str(exc) or 'no memory for a thread'}") from exc


def start_without_signals(start: "Callable[[], object]") -> None:
    """Call *start*, which starts a thread; the thread, and those that it starts itself, receive no signals."""
    # A new thread inherits the mask: blocked in the thread itself, a signal could arrive before that.
    usual = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        start()
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, usual)


def _make_startable(thread: "Thread") -> None:
    # Python 3.13 and newer mark a thread as started even if its start has failed. The name is that of 3.14, or of 3.13.
    for name in ("_os_thread_handle", "_handle"):
        if hasattr(thread, name):
            setattr(thread, name, _thread._ThreadHandle())  # type: ignore[attr-defined]  # noqa: SLF001
