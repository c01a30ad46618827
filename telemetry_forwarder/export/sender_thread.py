"""A thread for what is to happen beside the caller."""

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from telemetry_forwarder.core.sync import Latch

T = TypeVar("T")


class SenderThread(Generic[T]):
    """Does one piece of work after the other. Its thread starts with the first; idle, it costs nothing."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Piece[T]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def prepare(self, work: Callable[[], T]) -> "Piece[T]":
        """All but the beginning of *work*, which `Piece.start` is."""
        if self._thread.ident is None:
            self._thread.start()
        return Piece(work, self._work)

    def _run(self) -> None:
        while True:
            self._work.get().do()


class Relay:
    """Starts what is to go on side by side one after the other: each when somebody before it waits, or has ended.

    Threads that compute at the same time only take the interpreter from each other: with three requests, a warm
    invocation had 39 wake-ups instead of 30, and a twentieth more CPU.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()

    def start(self, *starts: Callable[[], object]) -> None:
        """Call the first of *starts* now, and each other in its turn. None of them may block."""
        self._waiting.extend(starts)
        self.go_on()

    def clear(self) -> None:
        """What has not begun is not to."""
        self._waiting.clear()

    def go_on(self) -> None:
        """Whoever calls this is about to wait, or has ended. From any thread."""
        # Most often there is nobody: a deque needs no lock, and to look at it is quick.
        if not self._waiting:
            return
        try:
            start = self._waiting.popleft()
        except IndexError:
            return  # Somebody else was quicker.
        start()


class Piece(Generic[T]):
    """A piece of work, and what came of it."""

    __slots__ = ("_error", "_is_done", "_lane", "_outcome", "_work")

    def __init__(self, work: Callable[[], T], lane: "SimpleQueue[Piece[T]]") -> None:
        self._work = work
        self._lane = lane
        self._is_done = Latch()
        self._outcome: list[T] = []
        self._error: Exception | None = None

    def start(self) -> None:
        """Let the lane do it. From any thread, once; does not block."""
        self._lane.put(self)

    def do(self) -> None:
        """Do it, here."""
        try:
            self._outcome.append(self._work())
        # Not the end of it: the caller gets it, and would wait for ever otherwise.
        except Exception as exc:
            self._error = exc
        self._is_done.set()

    def result(self) -> T:
        """Wait for its end; return or raise what it did."""
        self._is_done.wait()
        if self._error is not None:
            raise self._error
        return self._outcome[0]
