"""Runs the scenes: the function and the extension in a local Lambda, which sends to a back end."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.demo.back_end import BackEnd
from tests.demo.books import Books, balance
from tests.demo.scenes import SCENES, TIMEOUT_S, Scene
from tests.demo.story import Message
from tests.emulator import Lambda

_FUNCTION = Path(__file__).parent / "function"
_ARRIVAL_LIMIT_S = 10.0


@dataclass
class Run:
    """One environment of the function, and what it has done so far."""

    function: Lambda
    back_end: BackEnd
    scenes: dict[str, Scene] = field(default_factory=dict)
    """By request id."""

    def play(self, announce: Callable[[str], None]) -> None:
        """Invoke the function once for each scene; *announce* gets a line before each."""
        for number, scene in enumerate(SCENES, 1):
            announce(f"{number} of {len(SCENES)}: {scene.title}")
            self.invoke(scene)

    def invoke(self, scene: Scene) -> None:
        result = self.function.invoke(scene.order)
        self.scenes[result.request_id] = scene

    @property
    def messages(self) -> list[Message]:
        """Everything that has arrived."""
        return self.back_end.messages()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that Lambda has delivered to the extension."""
        return self.function.delivered

    def end(self) -> Books:
        """Shut the environment down, wait until what the extension has delivered has arrived; return the books."""
        self.function.shutdown()
        deadline_s = time.monotonic() + _ARRIVAL_LIMIT_S
        while True:
            books = balance(self.function.extension_output, self.messages, events_sent=len(self.events))
            if not books.awaits_arrival or time.monotonic() > deadline_s:
                return books
            time.sleep(0.02)  # A receiver may pass on what it has accepted a moment later.


@contextmanager
def running(opt: Path, back_end: BackEnd, headers: Mapping[str, str]) -> Iterator[Run]:
    """Start the function and the extension in *opt*, which sends to *back_end*; all ends with the `with` block."""
    with tempfile.TemporaryDirectory() as spool:
        env = {"TELEMETRY_FORWARDER_ENDPOINT": back_end.endpoint, "TELEMETRY_FORWARDER_SPOOL_DIR": spool}
        if headers:
            pairs = (f"{quote(key)}={quote(value)}" for key, value in headers.items())
            env["TELEMETRY_FORWARDER_HEADERS"] = ",".join(pairs)
        with Lambda(opt=opt, task=_FUNCTION, env=env, timeout_s=TIMEOUT_S) as function:
            yield Run(function, back_end)
