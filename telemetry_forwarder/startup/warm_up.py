"""Imports the modules that take long to import, in a thread of low priority, while Lambda starts the runtime.

`threading` is one of these imports. Never raises: an import that fails here fails again, and is logged, where it is
needed.
"""

import _thread
import gc
import posix
import sys

from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.settings import PREFIX
from telemetry_forwarder.startup.bundle import Bundle, IncompatibleBundleError
from telemetry_forwarder.startup.threads import start_without_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

THREAD_MODULES = ("telemetry_forwarder.receiver.listener", "telemetry_forwarder.worker.thread")
WORKER_MODULES = ("telemetry_forwarder.worker.wiring",)
"""The module that builds the worker, and with it everything that it imports."""
PROXY_MODULES = ("telemetry_forwarder.transport.proxied",)
GRPC_MODULES = ("telemetry_forwarder.transport.grpc.client",)
"""Imported if a proxy or gRPC may be set: after the warm-up the bundle's compiled code is no longer available."""

# A lowered priority cannot be raised again, so this needs its own thread. Not 19, the lowest: on a core that another
# process keeps busy the warm-up would hardly progress, and the runtime is ready no sooner.
# https://man7.org/linux/man-pages/man7/sched.7.html
_NICE = 10


class WarmUp:
    """A warm-up that starts when the object is created, which may raise `ThreadStartError`."""

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self._modules = (
            WORKER_MODULES
            + (PROXY_MODULES if _may_have_proxy(environ) else ())
            + (GRPC_MODULES if _may_use_grpc(environ) else ())
        )
        self._has_threads = _locked()
        self._has_everything = _locked()
        self.problem = ""
        """Why an existing bundle cannot be used although it is needed; set when `wait_for_threads` returns."""
        try:
            start_without_signals(lambda: _thread.start_new_thread(self._run, ()))
        except (RuntimeError, MemoryError) as exc:
            raise ThreadStartError(f"warm-up: {str(exc) or 'no memory for a thread'}") from exc

    def wait_for_threads(self) -> None:
        """Block until the import of `THREAD_MODULES` has succeeded or failed."""
        with self._has_threads:
            pass

    def wait(self) -> None:
        """Block until all imports have succeeded or failed."""
        with self._has_everything:
            pass

    def _run(self) -> None:
        try:
            self._import_all()
        except Exception:  # noqa: BLE001, S110  # the modules that are missing then are imported, or reported, by their users
            pass
        finally:
            # In any case, because other threads wait for it.
            self._has_everything.release()

    def _import_all(self) -> None:
        try:
            _lower_priority()
            # Imports create no garbage, so collecting costs time for nothing; what they create is never garbage later.
            gc.disable()
            bundle = self._install_bundle()
            _import(THREAD_MODULES)
        finally:
            self._has_threads.release()
        try:
            _import(self._modules)
            if bundle is not None:
                bundle.restore()
        finally:
            gc.freeze()
            gc.enable()

    def _install_bundle(self) -> Bundle | None:
        """Return the installed bundle of our own folder, or None: then modules are loaded from files."""
        try:
            bundle = Bundle()
            bundle.install()
        except Exception as exc:  # noqa: BLE001  # logged by the session: the layer has no libraries without its bundle
            # In a checkout, which has the libraries as files, it may be missing or made for another Python.
            _import(("orjson",))
            is_optional = isinstance(exc, IncompatibleBundleError | FileNotFoundError)
            # In the layer, the folder of its C module alone is an empty namespace package.
            if not (is_optional and hasattr(sys.modules.get("orjson"), "dumps")):
                self.problem = f"{type(exc).__name__}: {exc}"
            return None
        return bundle


def _may_have_proxy(environ: "Mapping[str, str]") -> bool:
    """Return whether any variable sets a proxy; `endpoints.proxies` decides for which endpoints."""
    names = [name.lower() for name, value in environ.items() if value]
    return any(name.endswith("_proxy") and name != "no_proxy" for name in names)


def _may_use_grpc(environ: "Mapping[str, str]") -> bool:
    """Return whether any variable sets gRPC for us; `endpoints.endpoint` decides for which endpoints.

    The function's own protocol does not count if the function and the extension have an endpoint each: most often
    they differ.
    """
    shared = "OTEL_EXPORTER_OTLP_"
    owners = {name.startswith(PREFIX) for name in environ if name.startswith((PREFIX, shared)) and "ENDPOINT" in name}
    prefixes = (PREFIX,) if len(owners) == 2 else (PREFIX, shared)
    return any(
        name.startswith(prefixes) and name.endswith("PROTOCOL") and "grpc" in value.lower()
        for name, value in environ.items()
    )


def _locked() -> "_thread.LockType":
    """Return a lock that is held until the event that it represents."""
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


def _lower_priority() -> None:
    try:  # noqa: SIM105  # here and below: `contextlib` is one of the modules that are still to be imported
        posix.setpriority(posix.PRIO_PROCESS, _thread.get_native_id(), _NICE)
    except OSError:
        pass


def _import(names: "Sequence[str]") -> None:
    for name in names:
        try:  # noqa: SIM105
            __import__(name)
        except Exception:  # noqa: BLE001, S110  # see the module's docstring
            pass
