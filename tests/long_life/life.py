"""Runs the extension for a simulated time with random faults, and compares what was sent with what arrived."""

import statistics
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random

import orjson

from tests.long_life.process import Books, ExtensionLife, Usage
from tests.support.collector import FakeCollector, Hang, Response
from tests.support.otlp_messages import LOGS, METRICS, SPANS
from tests.support.wall_clock import WallClock

_GAP_S = 30.0
_RESET_EVERY_S = 2 * 3_600.0
_OUTAGE_EVERY_S, _OUTAGE_S = 3_600.0, 300.0
_STEP_SHARE = 0.02
_MANY = 1_000
_PATHS = {"logs": LOGS, "traces": SPANS, "metrics": METRICS}
# Not `shutdown`: what it holds looks like a leak.
_MODES = ("auto", "end", "every 5 s")
_TEXT = b'{"time":"%b","type":"function","record":"INFO order %d: a line of an ordinary length, with some text in it"}'
_JSON = b'{"time":"%b","type":"function","record":{"level":"INFO","message":"order %d","customer":"a","total":12.5}}'


@dataclass(frozen=True)
class Sample:
    """The process at one moment of the simulated time."""

    at_s: float
    processes: int
    """So far, this one included."""
    records: int
    usage: Usage


@dataclass
class Life:
    """The result."""

    sent: int = 0
    """Records that were posted."""
    lines: int = 0
    """Of them, lines of the function."""
    invocations: int = 0
    outages: int = 0
    steps: int = 0
    """Of the wall clock."""
    samples: list[Sample] = field(default_factory=list)
    books: list[Books] = field(default_factory=list)
    """Of each process, in their order."""
    accepted: dict[str, int] = field(default_factory=dict)
    """Items of each signal, as the endpoint counts them."""

    def total(self, signal: str, place: str) -> int:
        return sum(books.ledgers[signal][place] for books in self.books)

    @property
    def problems(self) -> list[str]:
        """What is wrong with the counts, or has grown."""
        found = [f"process {number} exited with {each.code}" for number, each in enumerate(self.books) if each.code]
        if any(len(each.ledgers) != len(_PATHS) for each in self.books):
            outputs = [books.output for books in self.books if len(books.ledgers) != len(_PATHS)]
            return [*found, *(f"a ledger is missing: {output}" for output in outputs)]
        if (received := sum(each.records for each in self.books)) != self.sent:
            found.append(f"{self.sent} records were sent, {received} received")
        if (received := self.total("logs", "received")) != self.lines:
            found.append(f"{self.lines} lines were sent, {received} received")
        for signal in _PATHS:
            found += self._problems_of(signal)
        return [*found, *self._growth()]

    def _problems_of(self, signal: str) -> Iterator[str]:
        ledgers = [books.ledgers[signal] for books in self.books]
        if not all(each.is_exact for each in ledgers):
            yield f"{signal}: a ledger is not exact"
        handed_over = [(each["spooled"], following["restored"]) for each, following in pairwise(ledgers)]
        if any(spooled != restored for spooled, restored in handed_over):
            yield f"{signal}: spooled and restored {handed_over}"
        if (delivered := self.total(signal, "delivered")) != self.accepted[signal]:
            yield f"{signal}: delivered {delivered}, the endpoint accepted {self.accepted[signal]}"

    def _growth(self) -> Iterator[str]:
        third = len(self.samples) // 3
        first, last = self.samples[third // 3 : third], self.samples[-third:]
        for name, more in (("rss_kb", 1.15), ("descriptors", 1.2), ("threads", 1.0)):
            before, after = (
                statistics.median(getattr(each.usage, name) for each in part) if part else 0 for part in (first, last)
            )
            # In a short life, the backlog of one outage is a third of all.
            is_lasting = name != "rss_kb" or len(self.samples) > _MANY
            if is_lasting and after > before * more:
                yield f"{name} grew from {before} to {after}"


class _Endpoint:
    """The collector, and when it fails next."""

    def __init__(self, collector: FakeCollector, random: Random) -> None:
        self.collector = collector
        self.outages = 0
        self._random = random
        self._is_up = True
        self._is_refusing = False
        self._changes_at_s = random.expovariate(1 / _OUTAGE_EVERY_S)

    def advance(self, now_s: float, *, is_last: bool) -> None:
        """Begin or end an outage, if one is due; with *is_last* none is left."""
        if self._is_up if is_last else now_s < self._changes_at_s:
            return
        if self._is_up:
            self.outages += 1
            match self._random.randrange(3):
                case 0:
                    self.collector.refuse()
                    self._is_refusing = True
                case 1:
                    self.collector.script(then=Response(status=503))
                case _:
                    self.collector.script(then=Hang(accepts=False))
        else:
            self.collector.script()
            if self._is_refusing:
                self.collector.listen()
            self._is_refusing = False
        self._is_up = not self._is_up
        mean_s = _OUTAGE_EVERY_S if self._is_up else _OUTAGE_S
        self._changes_at_s = now_s + self._random.expovariate(1 / mean_s)


def run(opt: Path, *, simulated_s: float, lines: int, seed: int) -> Life:
    """Run *lines* lines of the function through the extension, spread over the simulated time."""
    random, life = Random(seed), Life()
    per_invocation = lines / (simulated_s / _GAP_S)
    with tempfile.TemporaryDirectory() as folder, FakeCollector(remember=False) as collector:
        clock = WallClock(opt, Path(folder, "clock"))
        endpoint = _Endpoint(collector, random)
        variables = {
            "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
            "TELEMETRY_FORWARDER_SPOOL_DIR": f"{folder}/spool",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        }
        now_s = reset_at_s = error_s = 0.0
        process: ExtensionLife | None = None
        try:
            while now_s < simulated_s:
                if process is None or now_s >= reset_at_s:
                    if process is not None:
                        life.books.append(process.shut_down("timeout", ahead_s=now_s))
                    process = ExtensionLife(
                        clock.opt, clock, variables | {"TELEMETRY_FORWARDER_FLUSH": random.choice(_MODES)}
                    )
                    reset_at_s = now_s + random.expovariate(1 / _RESET_EVERY_S)
                endpoint.advance(now_s, is_last=now_s > simulated_s * 0.95)
                count = round(per_invocation * random.choice([0.1, 0.2, 0.5, 1.0, 3.2]))
                life.invocations += 1
                request_id = str(uuid.UUID(int=life.invocations))
                process.invoke(request_id, _bodies(life, request_id, count, ahead_s=now_s), ahead_s=now_s)
                life.samples.append(Sample(now_s, len(life.books) + 1, life.sent, process.usage()))
                now_s += random.expovariate(1 / _GAP_S)
                if random.random() < _STEP_SHARE:
                    life.steps += 1
                    error_s = random.choice([-3_600.0, -60.0, -1.0, 0.0, 1.0, 60.0, 3_600.0])
                process.freeze(wall_s=now_s + error_s, monotonic_s=now_s)
            assert process is not None
            endpoint.advance(now_s, is_last=True)
            life.books.append(process.shut_down("spindown", ahead_s=now_s))
        except BaseException:
            if process is not None:
                process.kill()
            raise
        life.outages = endpoint.outages
        life.accepted = {signal: collector.accepted(path) for signal, path in _PATHS.items()}
    return life


def _bodies(life: Life, request_id: str, lines: int, *, ahead_s: float) -> list[bytes]:
    """Return the posts of one invocation."""
    at = datetime.fromtimestamp(datetime.now(UTC).timestamp() + ahead_s, UTC)
    time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    records = [(_JSON if number % 4 == 0 else _TEXT) % (time.encode(), life.lines + number) for number in range(lines)]
    life.lines += lines
    life.sent += lines + 3
    ended = [
        ("platform.runtimeDone", {"requestId": request_id, "status": "success", "metrics": {"durationMs": 12.5}}),
        ("platform.report", {"requestId": request_id, "status": "success", "metrics": _METRICS}),
    ]
    start = ("platform.start", {"requestId": request_id, "version": "$LATEST"})
    return [
        _events(time, start),
        *(b"[" + b",".join(records[first : first + 5_000]) + b"]" for first in range(0, lines, 5_000)),
        _events(time, *ended),
    ]


_METRICS = {"durationMs": 12.5, "billedDurationMs": 13, "memorySizeMB": 1769, "maxMemoryUsedMB": 80}


def _events(time: str, *records: tuple[str, object]) -> bytes:
    return orjson.dumps([{"time": time, "type": type_, "record": record} for type_, record in records])
