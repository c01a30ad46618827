"""`memory`: resident memory when warm, after a million records and with bodies of 4 MB; CPU while idle."""

import time
from contextlib import ExitStack

from tests.bench.driven_extension import driven_extension, events
from tests.bench.figures import Figure, median
from tests.bench.measuring import Case, interleaved, memory_mb
from tests.bench.records import post_of, text
from tests.bench.sink import Sink
from tests.bench.trees import Tree

_BIG_BYTES = 4_000_000


def warm(tree: Tree) -> Case:
    def case() -> dict[str, float]:
        with Sink() as sink, driven_extension(tree, sink) as extension:
            return {"warm": memory_mb(extension.process.pid)["VmRSS"]}

    return case


def many(tree: Tree, records: int) -> Case:
    """Measure after *records* lines, a thousand in each invocation, which are delivered at its end."""

    def case() -> dict[str, float]:
        with Sink() as sink, driven_extension(tree, sink, {"TELEMETRY_FORWARDER_FLUSH": "end"}) as extension:
            for start in range(0, records, 1_000):
                request_id = extension.begin()
                extension.post(post_of("text", range(start, start + 1_000)))
                extension.end(request_id)
            _settle(sink)
            memory = memory_mb(extension.process.pid)
            extension.shut_down()
            _check(sink, records)
            return {"after": memory["VmRSS"], "peak": memory["VmHWM"]}

    return case


def big(tree: Tree, bodies: int = 10, *, pause_s: float = 0.0) -> Case:
    """Measure the peak with bodies of 4 MB: the largest that Lambda sends is about half of that.

    Without *pause_s* between them, the worker's backlog of 16 MiB is full, and posts are written to disk.
    """

    def case() -> dict[str, float]:
        lines = _BIG_BYTES * 1_000 // len(post_of("text", range(10_000, 11_000)))
        with Sink() as sink, driven_extension(tree, sink) as extension:
            request_id = extension.begin()
            for number in range(bodies):
                extension.post(post_of("text", range(number * lines, (number + 1) * lines)))
                time.sleep(pause_s)
            extension.end(request_id)
            _settle(sink)
            peak = memory_mb(extension.process.pid)["VmHWM"]
            extension.shut_down()
            _check(sink, bodies * lines)
            return {"peak": peak}

    return case


def _settle(sink: Sink) -> None:
    """Wait until nothing more is sent: a flush that exceeds its budget continues in the background."""
    requests = -1
    while requests != sink.requests:
        requests = sink.requests
        time.sleep(0.5)


def _check(sink: Sink, sent: int) -> None:
    """Fail unless many records arrived; those that came too fast may be on disk."""
    if (arrived := sink.items()) < sent // 4:
        raise RuntimeError(f"{arrived} of {sent} records arrived")


def idle(tree: Tree, seconds: float, count: int) -> list[float]:
    """Measure the CPU of *count* idle extensions, concurrently, after an invocation."""
    with Sink(keeps=False) as sink, ExitStack() as running:
        extensions = [running.enter_context(driven_extension(tree, sink)) for _ in range(count)]
        for extension in extensions:
            request_id = extension.begin()
            extension.post(events(("function", text(1))))
            extension.end(request_id)
        time.sleep(1.0)
        before = [extension.cpu_ms for extension in extensions]
        time.sleep(seconds)
        return [extension.cpu_ms - spent for extension, spent in zip(extensions, before, strict=True)]


def run(
    trees: list[Tree], tutorial: Tree, rounds: int, *, records: int = 1_000_000, seconds: float = 30.0
) -> list[Figure]:
    cases = {"tutorial": warm(tutorial)} | {tree.name: warm(tree) for tree in trees}
    readings = interleaved(cases, rounds)
    tutorial_mb = median(readings["tutorial"]["warm"])
    figures = []
    for tree in trees:
        load: dict[str, Case] = {"many": many(tree, records), "big": big(tree, 3, pause_s=0.5), "flood": big(tree)}
        load_readings = interleaved(load, rounds)
        for name, value, goal in (
            ("RSS warm", median(readings[tree.name]["warm"]), "<= 34"),
            (f"RSS after {records:,} records", median(load_readings["many"]["after"]), "<= 40"),
            ("peak RSS with 4 MB bodies", median(load_readings["big"]["peak"]), "<= 64"),
            ("peak RSS with 4 MB bodies faster than they are converted", median(load_readings["flood"]["peak"]), ""),
        ):
            is_warm = "warm" in name
            figures.append(
                Figure(
                    name=f"{name}: {tree.name}",
                    value=value,
                    unit="MB",
                    reference="tutorial warm" if is_warm else "",
                    reference_value=tutorial_mb if is_warm else None,
                    goal=goal,
                )
            )
        figures.append(
            Figure(
                name=f"CPU in {seconds:.0f} s without events: {tree.name}",
                value=median(idle(tree, seconds, rounds)),
                unit="ms",
                goal="<= 1",
            )
        )
    return figures
