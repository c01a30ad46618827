"""Short scripts of what can happen to an environment.

Each drives an object that has `invoke(payload)`. Those marked `aws` need nothing else, so AWS's own emulator can
run them, too, and must produce the same sequence of API calls. The others need `Lambda`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from .settings import MANAGED, SNAP_START


class Driver(Protocol):
    """The part of an emulator that a scenario needs."""

    def invoke(self, payload: Any = None) -> Any: ...


@dataclass(frozen=True)
class Scenario:
    """A script, its description and the settings it needs."""

    name: str
    description: str
    play: Callable[[Any], list[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    aws: bool = False
    """Whether AWS's own emulator can run it."""


def _quiet(lam: Driver) -> list[Any]:
    return [lam.invoke({"log": 2}) for _ in range(3)]


def _errors(lam: Driver) -> list[Any]:
    return [lam.invoke({"raise": True}), lam.invoke({"log": 1})]


def _timeout(lam: Driver) -> list[Any]:
    return [lam.invoke({"log": 1}), lam.invoke({"log": 1, "sleep": 30}), lam.invoke({"log": 1})]


def _crash(lam: Driver) -> list[Any]:
    return [lam.invoke({"log": 1}), lam.invoke({"log": 1, "exit": 1}), lam.invoke({"log": 1})]


def _killed(lam: Driver) -> list[Any]:
    return [lam.invoke({"log": 1}), lam.invoke({"log": 1, "kill": True}), lam.invoke({"log": 1})]


def _out_of_memory(lam: Any) -> list[Any]:
    return [lam.invoke({"log": 1}), lam.invoke({"log": 1, "memory": 512}), lam.invoke({"log": 1})]


def _burst(lam: Driver) -> list[Any]:
    results = [lam.invoke({"log": 10})]
    results += [lam.invoke({"flood": 5000}) for _ in range(10)]
    return [*results, lam.invoke({"log": 10})]


def _huge(lam: Driver) -> list[Any]:
    return [lam.invoke({"log": 1}), lam.invoke({"huge": 700_000}), lam.invoke({"log": 1})]


def _many_at_once(lam: Any) -> list[Any]:
    return list(lam.invoke_many([{"log": 3, "sleep": 0.02}] * 64, at_once=16))


def _table(*scenarios: Scenario) -> Mapping[str, Scenario]:
    return MappingProxyType({scenario.name: scenario for scenario in scenarios})


SCENARIOS = _table(
    Scenario("quiet", "three invocations that log, then spindown", _quiet, aws=True),
    Scenario("errors", "a handler that raises, and one that does not", _errors, aws=True),
    Scenario(
        "timeout", "a timeout between two successes: reset, suppressed init", _timeout, {"timeout_s": 1.0}, aws=True
    ),
    Scenario("crash", "the runtime exits between two successes: reset, suppressed init", _crash, aws=True),
    Scenario("killed", "the runtime is killed between two successes", _killed, aws=True),
    Scenario("out-of-memory", "the memory limit kills the runtime", _out_of_memory, {"memory_limit": True}),
    Scenario("frozen", "frozen between invocations", _quiet, {"freeze": True}),
    Scenario("slow-cpu", "frozen, with the CPU of 128 MB", _quiet, {"freeze": True, "cpu_share": True}),
    Scenario("report-late", "each report comes after the next INVOKE", _quiet, {"report": "late"}),
    Scenario("report-in-shutdown", "the last report comes after SHUTDOWN", _quiet, {"report": "shutdown-window"}),
    Scenario("report-never", "no report is sent", _quiet, {"report": "never"}),
    Scenario("redelivered", "every second POST is sent twice", _burst, {"redeliver_every": 2}),
    Scenario("burst", "ten times the usual rate for a while", _burst),
    Scenario("overflow", "a burst larger than Lambda's buffer", _burst, {"backlog_bytes": 50_000}),
    Scenario("cut", "records over 256 KiB, cut within a value", _huge, {"cut": True, "log_format": "JSON"}),
    Scenario("unsupported", "the Telemetry API is not supported", _quiet, {"telemetry": "unsupported"}),
    Scenario("old-schema", "the newest schema is unknown", _quiet, {"newest_schema": False}),
    Scenario("json", "the JSON log format", _quiet, {"log_format": "JSON"}),
    Scenario("snapstart", "restored from a snapshot", _quiet, {"initialization_type": SNAP_START, "freeze": True}),
    Scenario(
        "managed",
        "managed instances, 16 invocations at once",
        _many_at_once,
        {"initialization_type": MANAGED, "max_concurrency": 16, "timeout_s": 10.0},
    ),
)
