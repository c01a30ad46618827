"""`shares` and `flush`: whole environments in the emulator, with a real awslambdaric function."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, comparison, median
from tests.bench.measuring import Case, cpu_ms, interleaved
from tests.bench.sink import Sink
from tests.bench.trees import Tree
from tests.emulator import Lambda
from tests.support.paths import FUNCTIONS

_FIVE_LINES = {"log": 5}
_NAME = "telemetry-forwarder"
MEMORY_MB = (128, 512, 1_769)


@contextmanager
def _function(
    tree: Tree | None, sink: Sink, more: Mapping[str, str], **settings: Any
) -> Iterator[tuple[Lambda, float]]:
    """Run the function with *tree* as its extension, or without one; yield it and the seconds of its init."""
    with tempfile.TemporaryDirectory() as empty:
        opt = Path(tree.command[0]).parent.parent if tree else Path(empty)
        env = {"TELEMETRY_FORWARDER_ENDPOINT": sink.endpoint, "TELEMETRY_FORWARDER_SPOOL_BYTES": "0", **more}
        lam = Lambda(opt=opt, task=FUNCTIONS, env=env, timeout_s=30.0, **settings)
        started_s = time.monotonic()
        with lam:
            yield lam, time.monotonic() - started_s


def share(tree: Tree | None, memory_mb: int, warm_up: str = "auto", warm: int = 3) -> Case:
    """Measure init at full CPU, then one cold and some warm invocations at the CPU share of *memory_mb*."""

    def case() -> dict[str, float]:
        more = {"TELEMETRY_FORWARDER_WARM_UP": warm_up, "TELEMETRY_FORWARDER_FLUSH": "end"}
        with Sink() as sink, _function(tree, sink, more, memory_mb=memory_mb, cpu_share=True) as (lam, init_s):
            reading = {"init": init_s * 1000}
            first = lam.invoke(_FIVE_LINES)
            reading |= {"first": (first.response_s or 0) * 1000, "first idle": first.total_s * 1000}
            before = cpu_ms(lam.pids()[_NAME]) if tree else 0.0
            responses = [lam.invoke(_FIVE_LINES) for _ in range(warm)]
            if tree:
                reading["cpu"] = (cpu_ms(lam.pids()[_NAME]) - before) / warm
            reading["warm"] = median([(response.response_s or 0) * 1000 for response in responses])
            reading["warm idle"] = median([response.total_s * 1000 for response in responses])
            return reading

    return case


def run_shares(trees: list[Tree], rounds: int) -> list[Figure]:
    figures = []
    for memory_mb in MEMORY_MB:
        cases: dict[str, Case] = {"without": share(None, memory_mb)}
        for tree in trees:
            cases[f"{tree.name}"] = share(tree, memory_mb)
            if memory_mb == MEMORY_MB[0]:
                cases[f"{tree.name} background"] = share(tree, memory_mb, "background")
        readings = interleaved(cases, rounds)
        figures += comparison(readings, [tree.name for tree in trees], f"ms, {memory_mb} MB")
        for name in list(cases)[1:]:
            figures += _share_figures(name, memory_mb, readings[name], readings["without"])
    return figures


def _share_figures(
    name: str, memory_mb: int, with_extension: Mapping[str, list[float]], without: Mapping[str, list[float]]
) -> list[Figure]:
    is_default = "background" not in name
    is_smallest = memory_mb == MEMORY_MB[0] and is_default
    goals = {"init": "<= 80", "first": "<= 10"} if is_smallest else {}
    labels = {
        "init": "init",
        "first": "first response",
        "first idle": "first invocation until idle",
        "warm": "warm response",
        "warm idle": "warm invocation until idle",
    }
    figures = [
        Figure(
            name=f"{labels[reading]} longer by, {memory_mb} MB: {name}",
            value=median(with_extension[reading]) - median(without[reading]),
            unit="ms",
            goal=goals.get(reading, ""),
            note=f"without extension {median(without[reading]):.1f} ms",
        )
        for reading in labels
    ]
    goal = "<= 5" if is_default and memory_mb == MEMORY_MB[-1] else ""
    figures.append(
        Figure(
            name=f"CPU per warm invocation, {memory_mb} MB: {name}",
            value=median(with_extension["cpu"]),
            unit="ms",
            goal=goal,
        )
    )
    return figures


def held(tree: Tree, after_ms: float, invocations: int = 5) -> Case:
    """Measure from the runtime's response to the extension's `next`; the endpoint responds after *after_ms*."""

    def case() -> dict[str, float]:
        more = {"TELEMETRY_FORWARDER_FLUSH": "end"}
        with Sink(after_ms / 1_000) as sink, _function(tree, sink, more) as (lam, _):
            for _ in range(invocations):
                lam.invoke(_FIVE_LINES)
            responses = [call.started_s for call in lam.calls if call.path.endswith("/response")]
            next_calls = [call.started_s for call in lam.calls if call.caller == _NAME and call.path.endswith("/next")]
            waits = [after - response for response, after in zip(responses, next_calls[1:], strict=False)]
            # The first one connects, which is not typical.
            return {"held": median(waits[1:]) * 1000}

    return case


def shut_down(tree: Tree, lines: int = 5_000) -> Case:
    """Measure SHUTDOWN with *lines* to deliver."""

    def case() -> dict[str, float]:
        more = {"TELEMETRY_FORWARDER_FLUSH": "shutdown"}
        with Sink() as sink, _function(tree, sink, more) as (lam, _):
            lam.invoke({"flood": lines})
            (end,) = lam.shutdown()
            if (arrived := sink.items()) < lines:
                raise RuntimeError(f"{arrived} of {lines} lines arrived")
            return {"seconds": end.seconds}

    return case


def run_flush(trees: list[Tree], rounds: int) -> list[Figure]:
    cases: dict[str, Case] = {}
    for tree in trees:
        cases |= {f"{tree.name} {after_ms}": held(tree, after_ms) for after_ms in (0, 5, 50)}
        cases[f"{tree.name} shutdown"] = shut_down(tree)
    readings = interleaved(cases, rounds)
    figures = []
    for name in cases:
        tree_name, what = name.split()
        if what == "shutdown":
            value = median(readings[name]["seconds"]) * 1000
            figures.append(Figure(name=f"shutdown with 5,000 lines held: {tree_name}", value=value, unit="ms"))
        else:
            figures.append(
                Figure(
                    name=f"next held after the response, endpoint at {what} ms: {tree_name}",
                    value=median(readings[name]["held"]),
                    unit="ms",
                    goal="<= 45" if what == "5" else "",
                    note="25 ms of it are Lambda's own buffering",
                )
            )
    return figures
