"""Every scenario of `tests/chaos`, three times: nothing fails because of us, nothing is lost, the books are right."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos import figures
from tests.chaos.__main__ import SCENARIOS
from tests.chaos.run import BUDGET_S, Run
from tests.chaos.scenario import Scenario
from tests.chaos.soak import soak
from tests.chaos.verdict import Verdict
from tests.support.collector import Response
from tests.support.otlp_messages import REQUESTS

SEEDS = range(3)
ALL = set(REQUESTS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_is_lost_and_nobody_slowed(scenario: Scenario, opt: Path) -> None:
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        verdict = Verdict.all_of(pool.map(lambda seed: scenario.run(seed, opt), SEEDS))

    assert verdict.is_good, verdict
    # The exact figures are the table's; this is for a machine that does five things at once.
    assert verdict.slowest_next_s < BUDGET_S + 2.0


def test_while_the_circuit_is_open_next_is_asked_for_without_any_request(opt: Path) -> None:
    with Run("open circuit", 1, opt) as run:
        run.collector.script(then=Response(status=503, headers={"Retry-After": "60"}))
        with run.life({"TELEMETRY_FORWARDER_FLUSH": "end"}):
            run.invoke()
            run.collector.wait_for(lambda: {each.path for each in run.collector.requests} == ALL, 5.0)
            asked = len(run.collector.requests)
            for _ in range(10):
                run.invoke()

            assert len(run.collector.requests) == asked


def test_thirty_thousand_records_through_one_life_are_in_the_books(opt: Path) -> None:
    soaked = soak(opt, 30_000)

    assert (soaked.failed, soaked.is_exact) == (0, True)


def test_five_thousand_records_held_at_shutdown_are_delivered(opt: Path) -> None:
    assert figures.drained_s(opt, 0) < 1.5
