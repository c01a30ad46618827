"""The scenarios: how often the environments are invoked, and what befalls the collector."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from telemetry_forwarder.flushing.policy import Mode
from tests.fleet.collector import Collector, Fault, hangs, is_busy, is_busy_until, refuses
from tests.fleet.environment import Environment, Load
from tests.fleet.simulation import Simulation

# Of the simulated time, in seconds.
FAULT_AT, RECOVERY_AT, END_AT = 150, 750, 990
BACKLOG_EVERY_S = 20
# How long it takes until all environments are removed at the end.
_REMOVAL_S = 240
_STEADY = range(60, FAULT_AT)

Gaps = Callable[[Random], Callable[[], float]]


def _poisson(random: Random) -> Callable[[], float]:
    """Return gaps of one function: from half a minute to five minutes on average."""
    mean_s = random.choice([30.0, 60.0, 120.0, 300.0])
    return lambda: random.expovariate(1 / mean_s)


def _bursts(random: Random) -> Callable[[], float]:
    """Return the gaps of bursts of ten invocations."""
    numbers = count(random.randrange(10))
    return lambda: random.expovariate(1 / 120) if next(numbers) % 10 == 0 else random.expovariate(1 / 2)


def _busy(random: Random) -> Callable[[], float]:
    return lambda: random.expovariate(0.5)


@dataclass(frozen=True)
class Scenario:
    name: str
    description: str
    fault: Fault | None = None
    """From the second FAULT_AT to RECOVERY_AT."""
    gaps: Gaps = _poisson
    slowed_to: float = 1.0
    """The capacity during that time, as a share of the steady rate; 1 if it is not changed."""
    retry_after: str = ""
    """What an overloaded collector asks for."""
    capacity: float = 3.0
    """As a multiple of the steady rate."""
    restarts_at: float | None = None
    """When all processes are replaced, within a second, each in its environment."""
    share: float = 1.0
    """Of the environments: busy ones cause more events."""
    load: dict[str, Any] = field(default_factory=dict)


SCENARIOS = (
    Scenario("refused", "the collector refuses connections for ten minutes", refuses),
    Scenario("hangs", "the collector accepts connections and never responds, for ten minutes", hangs),
    Scenario("503", "the collector responds 503 for ten minutes", is_busy("")),
    Scenario("Retry-After", "503 with Retry-After: 120 for ten minutes", is_busy("120")),
    Scenario("date", "503 with the same date in every Retry-After", is_busy_until(RECOVERY_AT)),
    Scenario("bursts", "as `refused`, invocations in bursts of ten", refuses, gaps=_bursts),
    Scenario("slow", "half the capacity that is needed, for ten minutes", slowed_to=0.5),
    Scenario("slow, Retry-After", "as `slow`, refusals ask for a pause of 30 s", slowed_to=0.5, retry_after="30"),
    Scenario("tight", "as `503`, and then hardly more capacity than needed", is_busy(""), capacity=1.3),
    Scenario("small memory", "as `refused`, and most of the backlog is on disk", refuses, load={"outbox_bytes": 2_048}),
    Scenario(
        "reset",
        "as `refused`, and all processes are replaced shortly before the end",
        refuses,
        restarts_at=RECOVERY_AT - 10,
        load={"outbox_bytes": 2_048},
    ),
    Scenario("busy", "as `503`, and all environments are always busy", is_busy(""), _busy, share=0.3),
    Scenario(
        "busy, date", "as `date`, and all environments are always busy", is_busy_until(RECOVERY_AT), _busy, share=0.3
    ),
    Scenario(
        "managed, date",
        "as `date`, on managed instances, which are never frozen",
        is_busy_until(RECOVERY_AT),
        _busy,
        share=0.3,
        load={"is_managed": True},
    ),
    Scenario(
        "deploy",
        "the collector works; all processes are replaced at once, all environments are busy",
        gaps=_busy,
        restarts_at=RECOVERY_AT - 2,
        share=0.3,
        load={"mode": Mode.EVERY},
    ),
)


@dataclass(frozen=True)
class Result:
    """The figures of one scenario."""

    name: str
    window_s: int
    """Rates are averages of this many seconds."""
    steady_per_s: float
    """The average before the fault."""
    requests: list[int]
    """By second."""
    backlog: list[int]
    """Items that are held or spooled, every BACKLOG_EVERY_S seconds."""
    received: int
    """Items, as the ledgers count them; likewise the others."""
    delivered: int
    accepted: int
    """Items, as the collector counts them: more than delivered if a response was lost."""
    dropped: int
    lost: int
    """Neither delivered nor dropped when the last environment was removed."""

    def peak(self, since_s: int, until_s: int) -> float:
        """Return the highest rate in that time as a multiple of the steady rate."""
        starts = range(since_s, until_s - self.window_s + 1)
        return (
            max(sum(self.requests[start : start + self.window_s]) for start in starts)
            / self.window_s
            / self.steady_per_s
        )

    @property
    def peak_after_recovery(self) -> float:
        return self.peak(RECOVERY_AT, RECOVERY_AT + 60)

    @property
    def is_good(self) -> bool:
        """Whether there was no wave and nothing was lost."""
        return (
            self.peak_after_recovery <= 2.0 and not self.dropped and not self.lost and self.delivered <= self.accepted
        )


def run_named(name: str, environments: int, seed: int) -> Result:
    """As `run`, in any process."""
    (scenario,) = [each for each in SCENARIOS if each.name == name]
    return run(scenario, environments=environments, seed=seed)


def run(scenario: Scenario, *, environments: int, seed: int) -> Result:
    """Simulate *environments* of one scenario. Takes a minute for ten thousand."""
    random = Random(seed)
    simulation = Simulation()
    collector = Collector(simulation, capacity_per_s=1e9, retry_after=scenario.retry_after)
    with tempfile.TemporaryDirectory() as folder:
        fleet = [
            _environment(scenario, simulation, collector, Path(folder, str(number)), random=random)
            for number in range(int(environments * scenario.share))
        ]
        backlog: list[int] = []
        for second in range(0, END_AT, BACKLOG_EVERY_S):
            simulation.at(second, lambda: backlog.append(sum(each.backlog for each in fleet)))
        simulation.run(FAULT_AT)
        steady_per_s = sum(collector.requests[second] for second in _STEADY) / len(_STEADY)
        collector.fault = scenario.fault
        collector.capacity_per_s = steady_per_s * (
            scenario.capacity if scenario.slowed_to == 1.0 else scenario.slowed_to
        )
        if scenario.restarts_at is not None:
            for each in fleet:
                simulation.at(scenario.restarts_at + random.random(), partial(each.shut_down, "failure"))
        simulation.run(RECOVERY_AT)
        collector.fault = None
        collector.capacity_per_s = steady_per_s * scenario.capacity
        simulation.run(END_AT)
        for each in fleet:
            simulation.at(END_AT + _REMOVAL_S * random.random(), partial(each.shut_down, "spindown"))
        simulation.run(END_AT + _REMOVAL_S + 10)
    ledgers = [ledger for each in fleet for ledger in each.ledgers]
    tallies = [tally for ledger in ledgers for tally in ledger.snapshot().tallies]
    received = sum(tally.received for tally in tallies)
    delivered = sum(tally.delivered for tally in tallies)
    dropped = sum(tally.all_dropped for tally in tallies)
    return Result(
        name=scenario.name,
        window_s=1 if environments >= 5_000 else 10,
        steady_per_s=steady_per_s,
        requests=[collector.requests[second] for second in range(END_AT)],
        backlog=backlog,
        received=received,
        delivered=delivered,
        accepted=collector.accepted_items,
        dropped=dropped,
        lost=received - delivered - dropped,
    )


def _environment(
    scenario: Scenario, simulation: Simulation, collector: Collector, folder: Path, *, random: Random
) -> Environment:
    own = Random(random.random())
    load = Load(scenario.gaps(own), **scenario.load)
    return Environment(simulation, collector, load, folder=str(folder), random=own)
