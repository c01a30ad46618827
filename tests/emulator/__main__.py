"""Run a function in the emulator: ``python -m tests.emulator --opt DIR --task DIR --handler app.handler -n 3``."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from .environment import Lambda
from .results import InvocationResult
from .scenarios import SCENARIOS


def main() -> int:
    """Run the invocations or the scenario; return 0 if every invocation succeeded."""
    arguments = _arguments()
    if arguments.scenario == "list":
        for each in SCENARIOS.values():
            print(f"{each.name:24} {each.description}")
        return 0
    settings = {**_settings(arguments), "env": dict(pair.split("=", 1) for pair in arguments.env)}
    scenario = SCENARIOS.get(arguments.scenario)
    if scenario:
        settings = {**scenario.settings, **settings}
        print(f"{scenario.name}: {scenario.description}")
    with Lambda(opt=arguments.opt, task=arguments.task, handler=arguments.handler, **settings) as lam:
        means = ", ".join(f"{what} by {means}" for what, means in lam.enforced_by.items())
        print("enforced:", means or "nothing")
        if scenario:
            results = scenario.play(lam)
        else:
            results = [lam.invoke(orjson.loads(arguments.event)) for _ in range(arguments.n)]
        exits = lam.shutdown()
    _print_results(results)
    for exit_ in exits:
        how = "killed" if exit_.killed else f"exit {exit_.code}"
        print(f"{exit_.name}: {how} {exit_.seconds * 1000:.0f} ms after SHUTDOWN")
    _print_details(lam, is_verbose=arguments.verbose)
    return 0 if all(result.is_success for result in results) else 1


def _print_results(results: Sequence[InvocationResult]) -> None:
    for result in results:
        response = "none" if result.response_s is None else f"after {result.response_s * 1000:.1f} ms"
        error = f" {result.error_type}" if result.error_type else ""
        print(
            f"{result.request_id}  {result.status}{error}  response {response}, "
            f"idle after {result.total_s * 1000:.1f} ms"
        )


def _print_details(lam: Lambda, *, is_verbose: bool) -> None:
    for line in lam.extension_output:
        print("extension |", line)
    if is_verbose:
        for call in lam.calls:
            print("call      |", call.caller, call.method, call.path, call.status, call.result or "")
        for event in lam.emitted:
            print("event     |", orjson.dumps(event).decode())
    kinds = ", ".join(f"{kind} {count}" for kind, count in Counter(e["type"] for e in lam.emitted).items())
    print("emitted:", kinds)
    print(f"emitted {len(lam.emitted)} delivered {len(lam.delivered)} dropped {len(lam.dropped)}")


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = {
        "memory_mb": arguments.memory,
        "timeout_s": arguments.timeout,
        "freeze": arguments.freeze or None,
        "cpu_share": arguments.cpu_share or None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.emulator", description=__doc__)
    parser.add_argument("--opt", type=Path, help="folder with extensions/<executables>, for example an unpacked layer")
    parser.add_argument("--task", type=Path, default=Path("tests/functions"), help="folder of the function's code")
    parser.add_argument("--handler", default="app.handler")
    parser.add_argument("-n", type=int, default=1, help="number of invocations")
    parser.add_argument("--event", default='{"log": 1}', help="the payload, as JSON")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="an environment variable")
    parser.add_argument("--memory", type=int, help="memory size in MB")
    parser.add_argument("--timeout", type=float, help="function timeout in seconds")
    parser.add_argument("--freeze", action="store_true", help="freeze between invocations")
    parser.add_argument("--cpu-share", action="store_true", help="limit the CPU as the memory size does")
    parser.add_argument("--scenario", help='run a scenario instead; "list" shows them')
    parser.add_argument("-v", "--verbose", action="store_true", help="print every call and every event")
    arguments = parser.parse_args()
    if arguments.scenario != "list" and not any(_extensions(arguments.opt)):
        parser.error(
            f"--opt {arguments.opt}: no executable in its folder extensions" if arguments.opt else "--opt is missing"
        )
    return arguments


def _extensions(opt: Path | None) -> Iterator[Path]:
    if opt:
        yield from (path for path in (opt / "extensions").glob("*") if os.access(path, os.X_OK))


if __name__ == "__main__":
    raise SystemExit(main())
