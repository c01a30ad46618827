"""A thread for what is to happen beside the caller."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from telemetry_forwarder.waiting import Latch

T = TypeVar("T")


class Lane(Generic[T]):
    """Does one piece of work after the other. Its thread starts with the first; idle, it costs nothing."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[_Piece[T]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, work: Callable[[], T]) -> Callable[[], T]:
        """Begin; what is returned waits for the end, and returns or raises what *work* did."""
        if self._thread.ident is None:
            self._thread.start()
        piece = _Piece(work)
        self._work.put(piece)
        return piece.result

    def _run(self) -> None:
        while True:
            self._work.get().do()


class _Piece(Generic[T]):
    """A piece of work, and what came of it."""

    __slots__ = ("_error", "_is_done", "_outcome", "_work")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._is_done = Latch()
        self._outcome: list[T] = []
        self._error: Exception | None = None

    def do(self) -> None:
        try:
            self._outcome.append(self._work())
        # Not the end of it: the caller gets it, and would wait for ever otherwise.
        except Exception as exc:
            self._error = exc
        self._is_done.set()

    def result(self) -> T:
        self._is_done.wait()
        if self._error is not None:
            raise self._error
        return self._outcome[0]
