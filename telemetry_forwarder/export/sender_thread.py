"""Runs the requests of one signal one after the other, in a thread of its own."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from telemetry_forwarder.startup.threads import start_thread


class SenderThread:
    """Runs tasks in the order in which they were added. The thread starts with the first task."""

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def add(self, task: Callable[[], object]) -> None:
        """Queue *task*, which must not raise. Does not block. For one thread. Raises `ThreadStartError`."""
        start_thread(self._thread)
        self._tasks.put(task)

    def _run(self) -> None:
        while True:
            self._tasks.get()()
