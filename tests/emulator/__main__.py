"""``python -m tests.emulator --opt DIR --task DIR --handler app.handler -n 3``: a life, shown as it goes."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from .environment import Lambda
from .scenarios import SCENARIOS


def main() -> int:
    """Run the invocations or the scenario; 0 when every invocation succeeded."""
    arguments = _arguments()
    if arguments.scenario == "list":
        for each in SCENARIOS.values():
            print(f"{each.name:24} {each.says}")
        return 0
    settings = {**_settings(arguments), "env": dict(pair.split("=", 1) for pair in arguments.env)}
    scenario = SCENARIOS.get(arguments.scenario)
    if scenario:
        settings = {**scenario.settings, **settings}
        print(f"{scenario.name}: {scenario.says}")
    with Lambda(opt=arguments.opt, task=arguments.task, handler=arguments.handler, **settings) as lam:
        if lam.physics:
            print("in force:", ", ".join(f"{force} by {means}" for force, means in lam.physics.items()))
        if scenario:
            answers = scenario.play(lam)
        else:
            answers = [lam.invoke(orjson.loads(arguments.event)) for _ in range(arguments.n)]
        exits = lam.shutdown()
    for answer in answers:
        response = (
            "no response" if answer.response_s is None else f"response {answer.response_s * 1000:.1f} ms"
        )
        error = f" {answer.error_type}" if answer.error_type else ""
        print(f"{answer.request_id}  {answer.status}{error}  {response}, idle {answer.total_s * 1000:.1f} ms")
    for leave in exits:
        how = "killed" if leave.killed else f"exit {leave.code}"
        print(f"{leave.name}: {how} {leave.seconds * 1000:.0f} ms after SHUTDOWN")
    _tell(lam, is_verbose=arguments.verbose)
    return 0 if all(answer.is_success for answer in answers) else 1


def _tell(lam: Lambda, is_verbose: bool) -> None:
    for line in lam.extension_output:
        print("extension |", line)
    if is_verbose:
        for call in lam.calls:
            print("call      |", call.who, call.method, call.path, call.status, call.answer or "")
        for event in lam.emitted:
            print("event     |", orjson.dumps(event).decode())
    kinds = ", ".join(f"{kind} {count}" for kind, count in Counter(e["type"] for e in lam.emitted).items())
    print("emitted:", kinds)
    print(f"emitted {len(lam.emitted)} delivered {len(lam.delivered)} dropped {len(lam.dropped)}")


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {
        "memory_mb": arguments.memory,
        "timeout_s": arguments.timeout,
        "freeze": arguments.freeze or None,
        "cpu_share": arguments.cpu_share or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.emulator", description=__doc__)
    parser.add_argument("--opt", type=Path, default=Path("/opt"), help="folder with extensions/<executables>")
    parser.add_argument(
        "--task", type=Path, default=Path("tests/functions"), help="folder of the function's code"
    )
    parser.add_argument("--handler", default="app.handler")
    parser.add_argument("-n", type=int, default=1, help="how many invocations")
    parser.add_argument("--event", default='{"log": 1}', help="the payload, as JSON")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a customer variable"
    )
    parser.add_argument("--memory", type=int, help="memory size in MB")
    parser.add_argument("--timeout", type=float, help="function timeout in seconds")
    parser.add_argument("--freeze", action="store_true", help="freeze between invocations")
    parser.add_argument("--cpu-share", action="store_true", help="the CPU share of the memory size")
    parser.add_argument("--scenario", help='play a scenario instead; "list" shows them')
    parser.add_argument("-v", "--verbose", action="store_true", help="every call and every event")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
