"""Instruction counts by callgrind, which do not depend on how busy the machine is.

Nothing ends a run early: SHUTDOWN is sent when the process is idle, and takes less than its 2 s even under valgrind.
"""

import tempfile
from collections.abc import Callable
from functools import partial

from tests.bench.driven_extension import DrivenExtension, events
from tests.bench.figures import Figure
from tests.bench.lambda_stub import LambdaStub
from tests.bench.measuring import Callgrind, wait_until_idle
from tests.bench.records import KINDS, forward, posts_of, text
from tests.bench.sink import Sink
from tests.bench.trees import ENVIRONMENT, Tree

_TOLERANCE = 0.005
_ATTEMPTS = 6
# The first ones connect and create what is kept.
_FIRST_INVOCATIONS = 2
_INVOCATIONS = 10
_LINES = 5
_FEW_RECORDS, _MANY_RECORDS = 2_000, 10_000
_BATCH = 1_000
_Work = Callable[[DrivenExtension], None]


def run(trees: list[Tree], tutorial: Tree) -> list[Figure]:
    """Count start-up, warm invocations and records of *trees*; the first one is compared with the others.

    The records of *tutorial* are not counted: they would take minutes.
    """
    if not Callgrind.is_available:
        return []
    extensions = [*trees, tutorial]
    starts = {tree.name: start_up_millions(tree) for tree in extensions}
    invocations = {tree.name: invocation_millions(tree) for tree in extensions}
    figures = []
    for tree in extensions:
        bare = _bare_millions(tree)
        name = f"instructions from exec to exit without an invocation: {tree.name}"
        figures.append(Figure(name=name, value=starts[tree.name], unit="M", reference="bare", reference_value=bare))
        name = f"instructions of a warm invocation with {_LINES} lines: {tree.name}"
        figures.append(Figure(name=name, value=invocations[tree.name], unit="M"))
    for what, counts in (("start-up", starts), ("a warm invocation", invocations)):
        figures += _comparisons(f"instructions of {what}", counts, "M")
    for kind in KINDS:
        name, counts = f"instructions of a {kind} record", {tree.name: record_thousands(tree, kind) for tree in trees}
        figures += [Figure(name=f"{name}: {tree}", value=count, unit="k") for tree, count in counts.items()]
        figures += _comparisons(name, counts, "k")
    return figures


def _comparisons(name: str, counts: dict[str, float], unit: str) -> list[Figure]:
    (first, count), *others = counts.items()
    return [
        Figure(
            name=f"{name}: {first}, compared with {other}",
            value=count,
            unit=unit,
            reference=other,
            reference_value=reference,
        )
        for other, reference in others
    ]


def start_up_millions(tree: Tree) -> float:
    """Count from exec to the exit after SHUTDOWN: everything is imported and created, nothing is exported."""
    return _confirmed(tree, None)


def invocation_millions(tree: Tree) -> float:
    """Count a warm invocation with a few lines, flushed at its end."""
    before = _confirmed(tree, partial(_invoke, times=_FIRST_INVOCATIONS))
    return (_confirmed(tree, partial(_invoke, times=_FIRST_INVOCATIONS + _INVOCATIONS)) - before) / _INVOCATIONS


def record_thousands(tree: Tree, kind: str) -> float:
    """Count a record of *kind*, from the body on the listener's socket to gzip OTLP on the wire."""
    few, many = (
        _confirmed(tree, partial(_forward, kind=kind, records=count)) for count in (_FEW_RECORDS, _MANY_RECORDS)
    )
    return (many - few) * 1_000 / (_MANY_RECORDS - _FEW_RECORDS)


def _invoke(extension: DrivenExtension, times: int) -> None:
    for _ in range(times):
        request_id = extension.begin()
        extension.post(events(*(("function", text(number)) for number in range(_LINES))))
        extension.end(request_id)


def _forward(extension: DrivenExtension, kind: str, records: int) -> None:
    forward(extension, posts_of(kind, _BATCH, records))


def _confirmed(tree: Tree, work: _Work | None) -> float:
    """Count until two runs agree: one that was disturbed differs from all others."""
    counts: list[float] = []
    for _ in range(_ATTEMPTS):
        count = _count_millions(tree, work)
        if any(abs(count - other) <= _TOLERANCE * other for other in counts):
            return count
        counts.append(count)
    raise RuntimeError(f"no two runs of {tree.name} agree: {counts} million instructions")


def _count_millions(tree: Tree, work: _Work | None) -> float:
    with Sink(keeps=False) as sink, LambdaStub() as api, tempfile.TemporaryDirectory() as spool:
        settings = {
            "TELEMETRY_FORWARDER_WARM_UP": "init",
            "TELEMETRY_FORWARDER_FLUSH": "end",
            # Under valgrind a flush takes longer than the default, and the next ones would take another path.
            "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "60000",
            "TELEMETRY_FORWARDER_BATCH_ITEMS": str(_BATCH),
            "TELEMETRY_FORWARDER_SPOOL_DIR": spool,
        }
        callgrind = Callgrind(tree.command, tree.environment(api.address, sink.endpoint, settings))
        with callgrind.started() as process:
            api.wait_for("next")
            # Under valgrind the warm-up may take longer than init waits for it.
            wait_until_idle(process.pid)
            if work is not None:
                extension = DrivenExtension(api, process)
                work(extension)
                wait_until_idle(process.pid)
                extension.close()
            api.shut_down()
            process.end(kills=False)
            return callgrind.millions()


def _bare_millions(tree: Tree) -> float:
    callgrind = Callgrind(tree.bare, ENVIRONMENT)
    with callgrind.started() as process:
        process.end(kills=False)
        return callgrind.millions()
