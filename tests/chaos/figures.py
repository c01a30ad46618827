"""Measures SHUTDOWN with many held records and the cost of a dead endpoint for an invocation."""

import statistics
from pathlib import Path
from typing import Any

from tests.chaos.run import Run
from tests.emulator import Lambda
from tests.emulator.observations import Call
from tests.support.collector import Response
from tests.support.otlp_messages import LOGS

_HELD = 5_000
_EXTENSION = "telemetry-forwarder"


def shutdown(opt: Path, runs: int, **settings: Any) -> str:
    """Measure when the last of 5,000 held records is delivered after SHUTDOWN. Responses take 20 ms."""
    seconds = sorted(drained_s(opt, seed, **settings) for seed in range(runs))
    return (
        f"{_HELD} records held at SHUTDOWN, all delivered after {statistics.median(seconds) * 1000:.0f} ms "
        f"(median of {runs}), {seconds[-1] * 1000:.0f} ms at most"
    )


def dead_endpoint(opt: Path, runs: int) -> str:
    """Compare an endpoint that refuses connections with a working one: how long `next` is delayed."""
    good = [_held_s(opt, seed, is_dead=False) for seed in range(runs)]
    dead = [_held_s(opt, seed, is_dead=True) for seed in range(runs)]
    firsts, laters = [run[0] for run in dead], [held for run in dead for held in run[1:]]
    good_firsts, good_laters = [run[0] for run in good], [held for run in good for held in run[1:]]
    return (
        f"dead endpoint, `next` after the response: first invocation {_ms(firsts)} (good endpoint "
        f"{_ms(good_firsts)}), later ones {_ms(laters)} (good endpoint {_ms(good_laters)})"
    )


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f} ms, at most {max(seconds) * 1000:.1f}"


def drained_s(opt: Path, seed: int, **settings: Any) -> float:
    """Return the time from SHUTDOWN to the last record, without delays of this machine."""
    with Run("drain", seed, opt) as run:
        run.collector.script(then=Response(after_s=0.02))
        with run.environment({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}, **settings) as function:
            run.invoke(lines=_HELD)
        (shutdown_s,) = [call.completed_s for call in _nexts(function) if call.result == "SHUTDOWN"]
        assert shutdown_s is not None
        assert sum(run.arrived().values()) >= _HELD
        # The receiver records when a request arrived; the response follows 20 ms later.
        last_s = max(each.at_monotonic for each in run.collector.requests if each.path == LOGS) + 0.02
        (exit_,) = run.exits
        return last_s - shutdown_s - exit_.run_delay_s


def _held_s(opt: Path, seed: int, *, is_dead: bool) -> list[float]:
    """Return for each invocation the time from its response until the extension called `next`."""
    with Run("dead endpoint", seed, opt) as run:
        if is_dead:
            run.collector.refuse()
        with run.environment({"TELEMETRY_FORWARDER_FLUSH": "end"}) as function:
            for _ in range(20):
                run.invoke(lines=1)
    responses = [call.started_s for call in function.calls if call.path.endswith("/response")]
    nexts = [call.started_s for call in _nexts(function)][1:]
    return [next_s - response_s for next_s, response_s in zip(nexts, responses, strict=True)]


def _nexts(function: Lambda) -> list[Call]:
    return [call for call in function.calls if call.caller == _EXTENSION and call.path.endswith("/event/next")]
