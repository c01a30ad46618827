"""Two figures that no table shows: the end with much to deliver, and what a dead endpoint costs an invocation."""

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
    """5,000 records held at SHUTDOWN, the endpoint at 20 ms: when is the last of them delivered?"""
    seconds = sorted(drained_s(opt, seed, **settings) for seed in range(runs))
    return (
        f"{_HELD} records held at SHUTDOWN, all delivered after {statistics.median(seconds) * 1000:.0f} ms "
        f"(median of {runs}), {seconds[-1] * 1000:.0f} ms at most"
    )


def dead_endpoint(opt: Path, runs: int) -> str:
    """A refusing endpoint against a good one: what it adds to an invocation after the response."""
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
    """From SHUTDOWN to the last of all records."""
    with Run("drain", seed, opt) as run:
        run.collector.script(then=Response(after_s=0.02))
        with run.life({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}, **settings) as function:
            run.invoke(lines=_HELD)
        (told,) = [call.answered_s for call in _nexts(function) if call.answer == "SHUTDOWN"]
        assert told is not None
        assert sum(run.arrived().values()) >= _HELD
        # What is noted is when a request came: its answer goes out 20 ms later.
        return max(each.at_monotonic for each in run.collector.requests if each.path == LOGS) + 0.02 - told


def _held_s(opt: Path, seed: int, *, is_dead: bool) -> list[float]:
    """For each invocation how long after its response the extension asked for the next."""
    with Run("dead endpoint", seed, opt) as run:
        if is_dead:
            run.collector.refuse()
        with run.life({"TELEMETRY_FORWARDER_FLUSH": "end"}) as function:
            for _ in range(20):
                run.invoke(lines=1)
    responses = [call.asked_s for call in function.calls if call.path.endswith("/response")]
    asked = [call.asked_s for call in _nexts(function)][1:]
    return [asked_s - response_s for asked_s, response_s in zip(asked, responses, strict=True)]


def _nexts(function: Lambda) -> list[Call]:
    return [call for call in function.calls if call.who == _EXTENSION and call.path.endswith("/event/next")]
