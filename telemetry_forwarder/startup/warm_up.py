"""Imports the heavy half of the program, in nobody's way: Lambda boots the runtime at the same time.

All of it in a thread of a low priority, `threading` itself included. Measured on one core beside awslambdaric, which
alone is ready after 39 ms: after 61 ms, of which our own start takes 12. With imports of the usual priority a third
more. Where a core is free it makes no difference.
"""

import _thread
import gc
import posix

from telemetry_forwarder.startup.bundle import Bundle, ForeignBundleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

THREADS = ("telemetry_forwarder.receiver.listener", "telemetry_forwarder.worker.thread")
"""What it takes to start the threads."""
ASSEMBLY = ("telemetry_forwarder.worker.wiring",)
"""What the worker is made of, and all behind it."""
THROUGH_PROXIES = ("telemetry_forwarder.transport.proxied",)
"""What it takes beside that where a proxy may be set. Later, none of it would be lent from the bundle."""

# It cannot be raised again, hence a thread for this alone. Not 19, the lowest: the runtime was not ready any sooner
# (97 ms), and beside something that never rests on the same core, where this needs 3 s, that had not ended after 6 s.
# https://man7.org/linux/man-pages/man7/sched.7.html
_NICE = 10


class WarmUp:
    """Imports begin when it is made. What fails here fails again, and is said, where it is needed."""

    def __init__(self) -> None:
        self._has_threads = _latch()
        self._has_assembly = _latch()
        self.problem = ""
        """Why the bundle that is there cannot be used."""
        _thread.start_new_thread(self._run, ())

    def wait_for_threads(self) -> None:
        """Block until `THREADS` are imported, as far as they can be."""
        with self._has_threads:
            pass

    def wait(self) -> None:
        """Block until everything is imported, as far as it can be."""
        with self._has_assembly:
            pass

    def _run(self) -> None:
        # Whatever happens in here, nobody may wait for ever.
        try:
            self._import_all()
        except Exception:
            pass
        finally:
            self._has_assembly.release()

    def _import_all(self) -> None:
        try:
            _lower_priority()
            # Nothing of what an import makes is garbage: looking for it took 4 % of the time. Nor does it ever become
            # any, so it is not looked at again.
            gc.disable()
            bundle = self._bundle()
            _import(THREADS)
        finally:
            self._has_threads.release()
        try:
            _import(ASSEMBLY)
            if _may_have_proxy():
                _import(THROUGH_PROXIES)
            if bundle is not None:
                bundle.take_back()
        finally:
            gc.freeze()
            gc.enable()

    def _bundle(self) -> Bundle | None:
        """That of our tree, installed; None where there is none: then all modules are files."""
        try:
            bundle = Bundle()
            bundle.install()
        except (FileNotFoundError, ForeignBundleError):
            return None
        except Exception as exc:
            self.problem = f"{type(exc).__name__}: {exc}"
            return None
        return bundle


def _may_have_proxy() -> bool:
    """Whether a variable names one; `proxies` knows for which endpoints."""
    names = [name.lower() for name, value in posix.environ.items() if value]
    return any(name.endswith(b"_proxy") and name != b"no_proxy" for name in names)


def _latch() -> "_thread.LockType":
    """A lock that is held until what it stands for has happened."""
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


def _lower_priority() -> None:
    try:  # noqa: SIM105  # here and below: `contextlib` is one of the imports that are to come
        posix.setpriority(posix.PRIO_PROCESS, _thread.get_native_id(), _NICE)
    except OSError:
        pass


def _import(names: "Sequence[str]") -> None:
    for name in names:
        try:  # noqa: SIM105
            __import__(name)
        except Exception:
            pass
