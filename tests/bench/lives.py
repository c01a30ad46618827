"""`shares` and `flush`: whole lives under the local Lambda of tests/emulator, with a real awslambdaric function."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import Figure, median
from tests.bench.measuring import Case, cpu_ms, interleaved
from tests.bench.sink import Sink
from tests.bench.trees import Tree
from tests.emulator import Lambda

_TASK = Path(__file__).parent.parent / "functions"
_FIVE_LINES = {"log": 5}
_NAME = "telemetry-forwarder"
MEMORY_MB = (128, 512, 1_769)


@contextmanager
def _function(tree: Tree | None, sink: Sink, more: Mapping[str, str], **settings: object) -> Iterator[Lambda]:
    with tempfile.TemporaryDirectory() as empty:
        opt = Path(tree.command[0]).parent.parent if tree else Path(empty)
        env = {"TELEMETRY_FORWARDER_ENDPOINT": sink.endpoint, "TELEMETRY_FORWARDER_SPOOL_BYTES": "0", **more}
        lam = Lambda(opt=opt, task=_TASK, env=env, timeout_s=30.0, **settings)
        began_s = time.monotonic()
        with lam:
            lam.init_s = time.monotonic() - began_s  # type: ignore[attr-defined]
            yield lam


def share(tree: Tree | None, memory_mb: int, warm_up: str = "auto", warm: int = 3) -> Case:
    """Init at full CPU, then one cold and some warm invocations at the share of *memory_mb*."""

    def case() -> dict[str, float]:
        more = {"TELEMETRY_FORWARDER_WARM_UP": warm_up, "TELEMETRY_FORWARDER_FLUSH": "end"}
        with Sink() as sink, _function(tree, sink, more, memory_mb=memory_mb, cpu_share=True) as lam:
            found = {"init": lam.init_s * 1000}  # type: ignore[attr-defined]
            first = lam.invoke(_FIVE_LINES)
            found |= {"first": (first.response_s or 0) * 1000, "first idle": first.total_s * 1000}
            before = cpu_ms(lam.pids()[_NAME]) if tree else 0.0
            answers = [lam.invoke(_FIVE_LINES) for _ in range(warm)]
            if tree:
                found["cpu"] = (cpu_ms(lam.pids()[_NAME]) - before) / warm
            found["warm"] = median([(answer.response_s or 0) * 1000 for answer in answers])
            found["warm idle"] = median([answer.total_s * 1000 for answer in answers])
            return found

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
        for name in list(cases)[1:]:
            figures += _share_figures(name, memory_mb, readings[name], readings["without"])
    return figures


def _share_figures(
    name: str, memory_mb: int, ours: Mapping[str, list[float]], without: Mapping[str, list[float]]
) -> list[Figure]:
    is_default = "background" not in name
    is_least = memory_mb == MEMORY_MB[0] and is_default
    goals = {"init": "<= 80", "first": "<= 10"} if is_least else {}
    words = {
        "init": "init",
        "first": "first response",
        "first idle": "first invocation until idle",
        "warm": "warm response",
        "warm idle": "warm invocation until idle",
    }
    figures = [
        Figure(
            name=f"{words[reading]} longer by, {memory_mb} MB: {name}",
            value=median(ours[reading]) - median(without[reading]),
            unit="ms",
            goal=goals.get(reading, ""),
            note=f"without us {median(without[reading]):.1f} ms",
        )
        for reading in words
    ]
    goal = "<= 5" if is_default and memory_mb == MEMORY_MB[-1] else ""
    figures.append(
        Figure(
            name=f"our CPU per warm invocation, {memory_mb} MB: {name}",
            value=median(ours["cpu"]),
            unit="ms",
            goal=goal,
        )
    )
    return figures


def held(tree: Tree, after_ms: float, invocations: int = 5) -> Case:
    """From the response of the runtime until our `next`, with an endpoint that answers after *after_ms*."""

    def case() -> dict[str, float]:
        more = {"TELEMETRY_FORWARDER_FLUSH": "end"}
        with Sink(after_ms / 1_000) as sink, _function(tree, sink, more) as lam:
            for _ in range(invocations):
                lam.invoke(_FIVE_LINES)
            responses = [call.started_s for call in lam.calls if call.path.endswith("/response")]
            nexts = [
                call.started_s for call in lam.calls if call.caller == _NAME and call.path.endswith("/next")
            ]
            waits = [after - response for response, after in zip(responses, nexts[1:], strict=False)]
            # The first connects, and is not the usual one.
            return {"held": median(waits[1:]) * 1000}

    return case


def shut_down(tree: Tree, lines: int = 5_000) -> Case:
    """The end of the environment, with so many log lines to deliver."""

    def case() -> dict[str, float]:
        more = {"TELEMETRY_FORWARDER_FLUSH": "shutdown"}
        with Sink() as sink, _function(tree, sink, more) as lam:
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
            figures.append(
                Figure(name=f"shutdown with 5,000 lines held: {tree_name}", value=value, unit="ms")
            )
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
