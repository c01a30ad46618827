"""`startup`: time from exec to `register`, to the first `next` and until warm; and the effect on the function."""

import os
import sys
import time
from pathlib import Path

from tests.bench.figures import Figure, Readings, comparison, median
from tests.bench.lambda_stub import LambdaStub
from tests.bench.measuring import Case, interleaved, started
from tests.bench.trees import ENVIRONMENT, Tree, minimal

_TASK = Path(__file__).with_name("hello")
_UNUSED_ENDPOINT = "http://127.0.0.1:9"


def bare(tree: Tree) -> Case:
    """Measure the interpreter alone, from its start to its exit."""

    def case() -> dict[str, float]:
        with started(tree.bare, ENVIRONMENT) as process:
            cpu = process.end(kills=False)
            return {"cpu": cpu, "wall": (time.monotonic() - process.at_s) * 1000}

    return case


def start(tree: Tree, warm_up: str) -> Case:
    """Measure from exec to the first `next`; with *warm_up* `init` the extension is then ready to export."""

    def case() -> dict[str, float]:
        with LambdaStub() as api:
            env = tree.environment(api.address, _UNUSED_ENDPOINT, {"TELEMETRY_FORWARDER_WARM_UP": warm_up})
            with started(tree.command, env) as process:
                api.wait_for("register", "next")
                cpu = process.end()
                return {
                    "register": (api.first_call_s["register"] - process.at_s) * 1000,
                    "next": (api.first_call_s["next"] - process.at_s) * 1000,
                    "cpu": cpu,
                }

    return case


def boot(tree: Tree | None, runtime: list[str], warm_up: str = "auto") -> Case:
    """Measure when the first invocation can begin: a runtime and, unless None, an extension on one CPU.

    As in Lambda, the runtime starts when every extension has registered, and init ends when all have called `next`.
    """

    def case() -> dict[str, float]:
        cpu = min(os.sched_getaffinity(0))
        with LambdaStub() as api:
            env = {**ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": api.address, "_HANDLER": "app.handler"}
            env |= {"LAMBDA_TASK_ROOT": str(_TASK), "AWS_LAMBDA_LOG_FORMAT": "Text"}
            if tree is None:
                with started(runtime, env, cpu=cpu, cwd=_TASK) as process:
                    return {"ready": (api.wait_for("runtime") - process.at_s) * 1000}
            variables = tree.environment(api.address, _UNUSED_ENDPOINT, {"TELEMETRY_FORWARDER_WARM_UP": warm_up})
            with started(tree.command, variables, cpu=cpu) as process:
                api.wait_for("register")
                with started(runtime, env, cpu=cpu, cwd=_TASK):
                    runtime_s = api.wait_for("runtime") - process.at_s
                    ready_s = api.wait_for("runtime", "next") - process.at_s
                    return {"ready": ready_s * 1000, "runtime": runtime_s * 1000}

    return case


def run(trees: list[Tree], tutorial: Tree, rounds: int) -> list[Figure]:
    cases: dict[str, Case] = {"tutorial": start(tutorial, "init")}
    for tree in trees:
        cases[f"{tree.name} bare"] = bare(tree)
        cases[f"{tree.name} init"] = start(tree, "init")
        cases[f"{tree.name} background"] = start(tree, "background")
    readings = interleaved(cases, rounds)
    figures = [figure for tree in trees for figure in _figures(tree.name, readings)]
    return figures + comparison(readings, [tree.name for tree in trees], "ms")


def run_with_runtime(trees: list[Tree], rounds: int) -> list[Figure]:
    """Measure the start while a runtime boots on the same core."""
    figures = []
    for name, runtime in runtimes().items():
        cases: dict[str, Case] = {"alone": boot(None, runtime), "minimal": boot(minimal(), runtime)}
        for tree in trees:
            for warm_up in ("init", "background"):
                cases[f"{tree.name} {warm_up}"] = boot(tree, runtime, warm_up)
        readings = interleaved(cases, rounds)
        figures += comparison(readings, [tree.name for tree in trees], f"ms, with {name}")
        alone = median(readings["alone"]["ready"])
        for case in list(cases)[1:]:
            for reading in ("ready", "runtime"):
                figures.append(
                    Figure(
                        name=f"{reading} with {name}, one core: {case}",
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
    """Return the commands of the runtimes that are installed here, by name."""
    runtimes = {"awslambdaric": [sys.executable, "-m", "awslambdaric", "app.handler"]}
    for folder in ("/usr/local/bin", "/usr/bin"):
        if os.path.exists(f"{folder}/node"):
            runtimes["node"] = [f"{folder}/node", str(_TASK / "bootstrap.js")]
    return runtimes


def _figures(name: str, readings: Readings) -> list[Figure]:
    wall = median(readings[f"{name} bare"]["wall"])
    bare_cpu = median(readings[f"{name} bare"]["cpu"])
    register = median(readings[f"{name} init"]["register"] + readings[f"{name} background"]["register"])
    tutorial_register = median(readings["tutorial"]["register"])
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
            name=f"tutorial extension's exec to register, compared with ours: {name}",
            value=tutorial_register,
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
            name=f"CPU until warm, tutorial extension compared with ours: {name}",
            value=median(readings["tutorial"]["cpu"]),
            unit="ms",
            reference="ours",
            reference_value=warm,
        ),
    ]
