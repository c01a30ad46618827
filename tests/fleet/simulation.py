"""Simulated time: a queue of events, and tasks that block without a thread of their own."""

import heapq
from collections.abc import Callable
from itertools import count

from greenlet import getcurrent, greenlet

START_UNIX_NS = 1_790_000_000_000_000_000


class Simulation:
    """Runs events in the order of their time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._main = getcurrent()

    def at(self, time_s: float, event: Callable[[], object]) -> None:
        """Run *event* at *time_s*, after all earlier ones."""
        heapq.heappush(self._events, (max(time_s, self.now_s), next(self._order), event))

    def run(self, until_s: float) -> None:
        """Run the events up to *until_s*."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, event = heapq.heappop(self._events)
            event()
        self.now_s = until_s

    def start(self, task: Callable[[], object]) -> None:
        """Run *task*, which may block, as an event of now."""
        self.at(self.now_s, lambda: greenlet(task, self._main).switch())

    def block(self, until_s: float, resume: Callable[[Callable[[], object]], object]) -> None:
        """Block the current task. At *until_s* pass *resume* a function that continues it."""
        task = getcurrent()
        self.at(until_s, lambda: resume(task.switch))
        self._main.switch()
