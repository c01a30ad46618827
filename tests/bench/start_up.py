"""`startup`: from exec to register, to the first `next`, until warm; and how much later the function is ready."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.api import Api
from tests.bench.figures import Figure, median
from tests.bench.measuring import Case, instructions, interleaved, started
from tests.bench.trees import ENVIRONMENT, Tree, least

_TASK = Path(__file__).with_name("hello")
_NOBODY = "http://127.0.0.1:9"
Readings = Mapping[str, Mapping[str, list[float]]]


def bare(tree: Tree) -> Case:
    """The interpreter alone, from its start to its end."""

    def case() -> dict[str, float]:
        with started(tree.bare, ENVIRONMENT) as process:
            cpu = process.end(kills=False)
            return {"cpu": cpu, "wall": (time.monotonic() - process.at_s) * 1000}

    return case


def life(tree: Tree, warm_up: str) -> Case:
    """From the start to the first `next`; with *warm_up* `init` the extension is then ready to export."""

    def case() -> dict[str, float]:
        with Api() as api:
            env = tree.environment(api.address, _NOBODY, {"TELEMETRY_FORWARDER_WARM_UP": warm_up})
            with started(tree.command, env) as process:
                api.wait_for("register", "next")
                cpu = process.end()
                return {
                    "register": (api.asked_s["register"] - process.at_s) * 1000,
                    "next": (api.asked_s["next"] - process.at_s) * 1000,
                    "cpu": cpu,
                }

    return case


def boot(tree: Tree | None, runtime: list[str], warm_up: str = "auto") -> Case:
    """A runtime and, but for None, an extension, on one CPU: when can the first invocation begin?

    As Lambda does, the runtime is started when every extension has registered, and init is over when all have
    asked for `next`.
    """

    def case() -> dict[str, float]:
        cpu = min(os.sched_getaffinity(0))
        with Api() as api:
            env = {**ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": api.address, "_HANDLER": "app.handler"}
            env |= {"LAMBDA_TASK_ROOT": str(_TASK), "AWS_LAMBDA_LOG_FORMAT": "Text"}
            if tree is None:
                with started(runtime, env, cpu=cpu, cwd=_TASK) as process:
                    return {"ready": (api.wait_for("runtime") - process.at_s) * 1000}
            ours = tree.environment(api.address, _NOBODY, {"TELEMETRY_FORWARDER_WARM_UP": warm_up})
            with started(tree.command, ours, cpu=cpu) as process:
                api.wait_for("register")
                with started(runtime, env, cpu=cpu, cwd=_TASK):
                    runtime_s = api.wait_for("runtime") - process.at_s
                    ready_s = api.wait_for("runtime", "next") - process.at_s
                    return {"ready": ready_s * 1000, "runtime": runtime_s * 1000}

    return case


def run(trees: list[Tree], naive: Tree, rounds: int) -> list[Figure]:
    cases: dict[str, Case] = {"naive": life(naive, "init")}
    for tree in trees:
        cases[f"{tree.name} bare"] = bare(tree)
        cases[f"{tree.name} init"] = life(tree, "init")
        cases[f"{tree.name} background"] = life(tree, "background")
    readings = interleaved(cases, rounds)
    return [figure for tree in trees for figure in _figures(tree.name, readings)]


def run_beside(trees: list[Tree], rounds: int) -> list[Figure]:
    """The same beside a runtime that boots, on one core."""
    figures = []
    for name, runtime in runtimes().items():
        cases: dict[str, Case] = {"alone": boot(None, runtime), "least": boot(least(), runtime)}
        for tree in trees:
            for warm_up in ("init", "background"):
                cases[f"{tree.name} {warm_up}"] = boot(tree, runtime, warm_up)
        readings = interleaved(cases, rounds)
        alone = median(readings["alone"]["ready"])
        for case in list(cases)[1:]:
            for reading in ("ready", "runtime"):
                figures.append(
                    Figure(
                        name=f"{reading} beside {name}, one core: {case}",
                        value=median(readings[case][reading]),
                        unit="ms",
                        reference=f"{name} alone",
                        reference_value=alone,
                        goal="ratio <= 1.1"
                        if name == "awslambdaric" and reading == "ready" and "background" in case
                        else "",
                    )
                )
    return figures


def runtimes() -> dict[str, list[str]]:
    """What boots beside us, by name: as real as it can be had here."""
    found = {"awslambdaric": [sys.executable, "-m", "awslambdaric", "app.handler"]}
    for folder in ("/usr/local/bin", "/usr/bin"):
        if os.path.exists(f"{folder}/node"):
            found["node"] = [f"{folder}/node", str(_TASK / "bootstrap.js")]
    return found


def counted(tree: Tree) -> list[Figure]:
    """The second opinion, which no neighbour disturbs: instructions of a life without an invocation.

    From exec to the exit after SHUTDOWN, so everything is imported and put together, and nothing is exported.
    """
    with Api() as api:
        api.shut_down()
        more = {"TELEMETRY_FORWARDER_WARM_UP": "init"}
        count = instructions(tree.command, tree.environment(api.address, _NOBODY, more))
    bare_count = instructions(tree.bare, ENVIRONMENT)
    if bare_count is None or count is None:
        return []
    return [
        Figure(
            name=f"instructions of a life without an invocation: {tree.name}",
            value=count,
            unit="million",
            reference="bare",
            reference_value=bare_count,
        )
    ]


def _figures(name: str, readings: Readings) -> list[Figure]:
    wall = median(readings[f"{name} bare"]["wall"])
    bare_cpu = median(readings[f"{name} bare"]["cpu"])
    register = median(readings[f"{name} init"]["register"] + readings[f"{name} background"]["register"])
    naive_register = median(readings["naive"]["register"])
    warm = median(readings[f"{name} init"]["cpu"])
    return [
        Figure(name=f"bare interpreter: {name}", value=wall, unit="ms"),
        Figure(
            name=f"exec to register: {name}",
            value=register,
            unit="ms",
            reference="bare",
            reference_value=wall,
            goal="ratio <= 1.6",
        ),
        Figure(
            name=f"exec to first next, background: {name}",
            value=median(readings[f"{name} background"]["next"]),
            unit="ms",
            reference="bare",
            reference_value=wall,
            goal="ratio <= 2.5",
        ),
        Figure(
            name=f"naive extension's exec to register, against ours: {name}",
            value=naive_register,
            unit="ms",
            reference="ours",
            reference_value=register,
            goal="ratio >= 8",
        ),
        Figure(
            name=f"CPU until warm: {name}",
            value=warm,
            unit="ms",
            reference="bare",
            reference_value=bare_cpu,
            goal="<= 140" if warm <= 140 else "ratio <= 12",
        ),
        Figure(
            name=f"CPU until warm, naive against ours: {name}",
            value=median(readings["naive"]["cpu"]),
            unit="ms",
            reference="ours",
            reference_value=warm,
        ),
    ]
