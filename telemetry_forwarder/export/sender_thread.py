"""Runs tasks one after the other in a thread of its own, concurrently with the caller."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from telemetry_forwarder.core.sync import Latch

T = TypeVar("T")


class SenderThread(Generic[T]):
    """Runs tasks in the order in which they were started. The thread starts with the first task."""

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[Task[T]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, work: Callable[[], T]) -> "Task[T]":
        """Queue *work* for the thread and return its task. Does not block."""
        if self._thread.ident is None:
            self._thread.start()
        task = Task(work)
        self._tasks.put(task)
        return task

    def _run(self) -> None:
        while True:
            self._tasks.get().run()


class Task(Generic[T]):
    """One call of *work*, and its result."""

    __slots__ = ("_error", "_is_done", "_outcome", "_work")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._is_done = Latch()
        self._outcome: list[T] = []
        self._error: Exception | None = None

    def run(self) -> None:
        """Call *work* in this thread and keep what it returns or raises."""
        try:
            self._outcome.append(self._work())
        except Exception as exc:  # raised again by `result`; the thread must go on
            self._error = exc
        self._is_done.set()

    def result(self) -> T:
        """Wait until it has run; return or raise what *work* did."""
        self._is_done.wait()
        if self._error is not None:
            raise self._error
        return self._outcome[0]
