"""One run of a scenario: one or more environments, a receiver, and what is needed to judge them."""

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
from tests.emulator import InvocationResult, Lambda
from tests.emulator.observations import Exit
from tests.support.collector import FakeCollector
from tests.support.paths import FUNCTIONS
from tests.support.wall_clock import WallClock

_FORMAT = SpoolFormat(function="orders", version="$LATEST", process=b"")
_MODES = ("auto", "end", "every 1 s")
BUDGET_S = 0.3


@dataclass(frozen=True)
class PlayedInvocation:
    """An invocation with the status that the scenario expects."""

    result: InvocationResult
    expected: str
    run_delay_s: float = 0.0

    @property
    def is_failed(self) -> bool:
        return self.result.status != self.expected

    @property
    def held_s(self) -> float:
        """How long the extension kept the environment busy after the response, without delays of this machine."""
        if self.result.response_s is None:
            return 0.0
        return self.result.total_s - self.result.response_s - self.run_delay_s


class Run:
    """Runs one scenario once. All random choices follow from the seed."""

    def __init__(self, name: str, seed: int, opt: Path, *, user: int | None = None, grpc: bool = False) -> None:
        """Run the extension of *opt* as *user*, if that is given, with a receiver of OTLP/HTTP or OTLP/gRPC."""
        self.random = random.Random(f"{name} {seed}")
        self.collector = FakeCollector(grpc=grpc)
        self.invocations: list[PlayedInvocation] = []
        self.environments: list[Lambda] = []
        self.exits: list[Exit] = []
        self.excused: Counter[str] = Counter()
        """Records that the scenario itself destroys."""
        self._id = f"{name.replace(' ', '-')}/{seed}"
        self._mode = _MODES[seed % len(_MODES)]
        self._opt = opt
        self._user = user
        self._wall_clock: WallClock | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self._folder.chmod(0o1777)
        self.spool_dir = self._folder / "spool" / "telemetry-forwarder"

    def __enter__(self) -> Self:
        self.collector.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.collector.__exit__()
        shutil.rmtree(self._folder, ignore_errors=True)

    def set_wall_clock(self, shift_s: float) -> None:
        """Set the wall clock of the extension, relative to the real time. First before an environment is started."""
        if self._wall_clock is None:
            self._wall_clock = WallClock(self._opt, self._folder / "clock")
            self._opt = self._wall_clock.opt
        self._wall_clock.shift(shift_s)

    @contextmanager
    def environment(self, env: dict[str, str] | None = None, **settings: Any) -> Iterator[Lambda]:
        """Run an environment with the extension until SHUTDOWN. All environments of a run share the spool."""
        variables = {
            "TELEMETRY_FORWARDER_ENDPOINT": self.collector.endpoint,
            "TELEMETRY_FORWARDER_PROTOCOL": "grpc" if self.collector.is_grpc else "http/protobuf",
            "TELEMETRY_FORWARDER_SPOOL_DIR": str(self.spool_dir),
            "TELEMETRY_FORWARDER_PLATFORM_LOGS": "all",
            "TELEMETRY_FORWARDER_FLUSH": self._mode,
            "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": str(round(BUDGET_S * 1000)),
        }
        function = Lambda(
            opt=self._opt,
            task=FUNCTIONS,
            extension_user=self._user,
            **{"freeze": True, "timeout_s": 10.0, "env": variables | (env or {}), **settings},
        )
        self.environments.append(function)
        with function:
            yield function
            self.exits += function.shutdown()

    def invoke(
        self, lines: int | None = None, *, expect: str = "success", wait: str = "idle", **actions: Any
    ) -> InvocationResult:
        """Invoke the function, which prints *lines* unique lines."""
        environment = self.environments[-1]
        before_s = environment.run_delay_s()
        result = environment.invoke(self.event(lines, **actions), wait=wait)
        delay_s = max(0.0, environment.run_delay_s() - before_s)
        self.invocations.append(PlayedInvocation(result, expect, delay_s))
        return result

    def invoke_many(self, events: Sequence[dict[str, Any]]) -> None:
        self.invocations += [
            PlayedInvocation(result, "success") for result in self.environments[-1].invoke_many(events)
        ]

    def event(self, lines: int | None = None, **actions: Any) -> dict[str, Any]:
        lines = self.random.randint(1, 20) if lines is None else lines
        mark = f"{self._id}/{self.random.getrandbits(48):x}"
        return {"say": "\n".join(f"{mark}/{line}" for line in range(lines)), **actions}

    # Where records are.

    def emitted(self) -> Counter[str]:
        return self._keys("emitted")

    def delivered_by_lambda(self) -> Counter[str]:
        return self._keys("delivered")

    def arrived(self) -> Counter[str]:
        return keys_of_logs(self.collector.logs())

    def on_disk(self) -> Counter[str]:
        """Return the records in the spool that the next process can read."""
        found: Counter[str] = Counter()
        for path in sorted(self.spool_dir.iterdir()) if self.spool_dir.is_dir() else ():
            file = _FORMAT.parse_name(path.name)
            if file and file.signal == "logs" and path.is_file() and (batch := _FORMAT.decode(file, path.read_bytes())):
                found += keys_of_request(batch.body)
        return found

    def _keys(self, what: str) -> Counter[str]:
        return sum((keys_of_events(getattr(environment, what)) for environment in self.environments), Counter[str]())
