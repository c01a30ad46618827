"""One run of a scenario: lives of an environment, a receiver, and all that is needed to judge them."""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from telemetry_forwarder.buffer.spool_format import SpoolFormat
from tests.chaos.keys import keys_of_events, keys_of_logs, keys_of_request
from tests.emulator import Lambda
from tests.emulator.answers import Response
from tests.emulator.observations import Exit
from tests.support.collector import FakeCollector

TASK = Path(__file__).parent.parent / "functions"
_FORMAT = SpoolFormat(function="orders", version="$LATEST", life=b"")
_MODES = ("auto", "end", "every 1 s")
BUDGET_S = 0.3


@dataclass(frozen=True)
class Said:
    """An invocation as the scenario wanted it, and what became of it."""

    answer: Response
    expected: str

    @property
    def is_failed(self) -> bool:
        return self.answer.status != self.expected

    @property
    def held_s(self) -> float:
        """From the response until all were idle: that is how long the extension kept the environment busy."""
        return self.answer.total_s - self.answer.response_s if self.answer.response_s is not None else 0.0


class Run:
    """Plays one scenario once. What it draws, it draws from the seed."""

    def __init__(self, name: str, seed: int, opt: Path) -> None:
        self.random = random.Random(f"{name} {seed}")
        self.collector = FakeCollector()
        self.said: list[Said] = []
        self.lives: list[Lambda] = []
        self.exits: list[Exit] = []
        self.excused: Counter[str] = Counter()
        """What the scenario itself takes away, where nobody could have kept it."""
        self._id = f"{name.replace(' ', '-')}/{seed}"
        self._mode = _MODES[seed % len(_MODES)]
        self._opt = opt
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.spool_dir = self._folder / "spool" / "telemetry-forwarder"

    def __enter__(self) -> Self:
        self.collector.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.collector.__exit__()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def life(self, env: dict[str, str] | None = None, **settings: Any) -> Iterator[Lambda]:
        """An environment with the extension in it, until SHUTDOWN. The spool is the same for all of them."""
        ours = {
            "TELEMETRY_FORWARDER_ENDPOINT": self.collector.endpoint,
            "TELEMETRY_FORWARDER_SPOOL_DIR": str(self.spool_dir),
            "TELEMETRY_FORWARDER_PLATFORM_LOGS": "all",
            "TELEMETRY_FORWARDER_FLUSH": self._mode,
            "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": str(round(BUDGET_S * 1000)),
        }
        function = Lambda(
            opt=self._opt,
            task=TASK,
            **{"freeze": True, "timeout_s": 10.0, "env": ours | (env or {}), **settings},
        )
        self.lives.append(function)
        with function:
            yield function
            self.exits += function.shutdown()

    def invoke(
        self, lines: int | None = None, *, expect: str = "success", wait: str = "idle", **deeds: Any
    ) -> Response:
        """One invocation that says so many lines, each of them once in the world."""
        answer = self.lives[-1].invoke(self.event(lines, **deeds), wait=wait)
        self.said.append(Said(answer, expect))
        return answer

    def invoke_many(self, events: Sequence[dict[str, Any]]) -> None:
        self.said += [Said(answer, "success") for answer in self.lives[-1].invoke_many(events)]

    def event(self, lines: int | None = None, **deeds: Any) -> dict[str, Any]:
        lines = self.random.randint(1, 20) if lines is None else lines
        mark = f"{self._id}/{self.random.getrandbits(48):x}"
        return {"say": "\n".join(f"{mark}/{line}" for line in range(lines)), **deeds}

    # What is where now

    def emitted(self) -> Counter[str]:
        return self._keys("emitted")

    def delivered_by_lambda(self) -> Counter[str]:
        return self._keys("delivered")

    def arrived(self) -> Counter[str]:
        return keys_of_logs(self.collector.logs())

    def on_disk(self) -> Counter[str]:
        """What lies in the spool, as the next life would find it."""
        found: Counter[str] = Counter()
        for path in sorted(self.spool_dir.iterdir()) if self.spool_dir.is_dir() else ():
            file = _FORMAT.file(path.name)
            if (
                file
                and file.signal == "logs"
                and path.is_file()
                and (batch := _FORMAT.batch(file, path.read_bytes()))
            ):
                found += keys_of_request(batch.body)
        return found

    def _keys(self, what: str) -> Counter[str]:
        return sum((keys_of_events(getattr(life, what)) for life in self.lives), Counter[str]())
