"""Objects that fail on purpose."""

import threading
from collections.abc import Callable

from tests.support.fake_clock import FakeClock


class Environ(dict[str, str]):
    """An environment that raises when one variable is read."""

    def __init__(self, breaks_at: str, **variables: str) -> None:
        super().__init__(variables)
        self._breaks_at = breaks_at

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]  # the default is always a str here
        if name == self._breaks_at:
            raise RuntimeError("broken on purpose")
        return super().get(name, default)


class WorkersClock(FakeClock):
    """A clock that raises in the worker's thread once it `is_broken`."""

    is_broken = False

    def unix_ns(self) -> int:
        if self.is_broken and threading.current_thread().name == "worker":
            raise RuntimeError("broken on purpose")
        return super().unix_ns()


class StallingClock(FakeClock):
    """A clock that stalls the worker's thread while `is_stalled`, as a hung disk or a lack of CPU does."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stalled: Callable[[], bool] = lambda: False
        self.has_stalled = threading.Event()
        self._goes_on = threading.Event()

    def unix_ns(self) -> int:
        if threading.current_thread().name == "worker" and self.is_stalled():
            self.has_stalled.set()
            self._goes_on.wait()
        return super().unix_ns()

    def go_on(self) -> None:
        self._goes_on.set()


class MainThreadsClock(FakeClock):
    """A clock that raises *error* when the main thread asks for the wall time, as it does for every event."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def unix_ns(self) -> int:
        if threading.current_thread() is threading.main_thread():
            raise self._error
        return super().unix_ns()


def no_memory(*_: object) -> None:
    raise MemoryError
