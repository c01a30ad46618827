"""Scenarios in which the wall clock of the environment is wrong, or is set while the extension runs."""

import threading

from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.support.collector import Hang

_HOUR_S = 3_600.0
_DAY_S = 24 * _HOUR_S


def _behind(run: Run) -> None:
    """Let the clock be slow: Lambda's deadlines seem to be far away."""
    run.set_wall_clock(run.random.choice([-3.0, -5.0, -_HOUR_S, -400 * _DAY_S]))
    _play(run)


def _ahead(run: Run) -> None:
    """Let the clock be fast: Lambda's deadlines seem to have passed."""
    run.set_wall_clock(run.random.choice([1.0, 12.0, _HOUR_S, 400 * _DAY_S]))
    _play(run)


def _play(run: Run) -> None:
    if run.random.random() < 0.5:
        run.collector.script(then=Hang(accepts=False))
    with run.environment():
        for _ in range(3):
            run.invoke(sleep=0.1)


def _behind_at_the_deadline(run: Run) -> None:
    """Let the budget exceed what is left of the invocation, but not what seems to be left."""
    run.set_wall_clock(-9.0 - run.random.random() * 60)
    run.collector.script(then=Hang(accepts=False))
    budget = {"TELEMETRY_FORWARDER_FLUSH": "end", "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "10000"}
    with run.environment(budget, timeout_s=2.0):
        run.invoke(sleep=1.2)


def _set_at_shutdown(run: Run) -> None:
    run.set_wall_clock(0.0)
    if run.random.random() < 0.5:
        run.collector.script(then=Hang(accepts=False))
    with run.environment({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}):
        for _ in range(3):
            run.invoke()
        run.set_wall_clock(run.random.choice([-400 * _DAY_S, -_HOUR_S, -3.0, 3.0, _HOUR_S, 400 * _DAY_S]))


def _set_in_drain(run: Run) -> None:
    """Set the clock while SHUTDOWN waits for a hanging endpoint."""
    run.set_wall_clock(0.0)
    run.collector.script(then=Hang(accepts=False))
    shift_s = run.random.choice([-_HOUR_S, -10.0, _HOUR_S])
    setting = threading.Timer(0.2 + run.random.random(), run.set_wall_clock, [shift_s])
    with run.environment({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}):
        run.invoke()
        setting.start()
    setting.join()


def _set_in_freeze(run: Run) -> None:
    run.set_wall_clock(0.0)
    with run.environment():
        for shift_s in (0.0, run.random.choice([-_HOUR_S, -10.0]), run.random.choice([10.0, 40 * _DAY_S]), 0.0):
            run.set_wall_clock(shift_s)
            run.invoke(sleep=0.05)


def _set_in_wait(run: Run) -> None:
    """Set the clock while `next` is withheld, for the end of the invocation or for a hanging endpoint."""
    run.set_wall_clock(0.0)
    run.collector.script(then=Hang(accepts=False))
    shift_s = run.random.choice([-_HOUR_S, -_HOUR_S, -30.0, _HOUR_S])
    with run.environment({"TELEMETRY_FORWARDER_FLUSH": "end"}, timeout_s=4.0):
        setting = threading.Timer(0.3 + run.random.random() * 0.3, run.set_wall_clock, [shift_s])
        setting.start()
        run.invoke(sleep=0.3)
        setting.join()
        run.invoke()


CLOCK = (
    Scenario("clock behind", "the wall clock is up to 400 days slow, and the endpoint may hang", _behind),
    Scenario(
        "clock behind, no time",
        "it is slow, and the budget exceeds the rest of the invocation",
        _behind_at_the_deadline,
    ),
    Scenario("clock ahead", "the wall clock is up to 400 days fast, and the endpoint may hang", _ahead),
    Scenario("clock set at the end", "it is set forward or back just before SHUTDOWN", _set_at_shutdown),
    Scenario("clock set in drain", "it is set while SHUTDOWN waits for a hanging endpoint", _set_in_drain),
    Scenario("clock set in freeze", "it is set forward or back while the environment is frozen", _set_in_freeze),
    Scenario("clock set in a wait", "it is set while `next` is withheld", _set_in_wait),
)
