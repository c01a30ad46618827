"""Runs every scenario three times: nothing fails, nothing is lost, the ledgers are exact."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos import figures
from tests.chaos.__main__ import SCENARIOS, main
from tests.chaos.run import BUDGET_S, Run
from tests.chaos.scenario import Scenario
from tests.chaos.soak import run_soak
from tests.chaos.verdict import Verdict
from tests.support.collector import Response
from tests.support.otlp_messages import REQUESTS
from tests.support.waiting import wait_until

SEEDS = range(3)
ALL = set(REQUESTS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_is_lost_and_no_invocation_is_delayed(scenario: Scenario, opt: Path) -> None:
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        verdict = Verdict.all_of(pool.map(lambda seed: scenario.run(seed, opt), SEEDS))

    assert verdict.is_good, verdict
    # The table has exact figures. Here, three runs at once disturb each other.
    assert verdict.slowest_next_s < BUDGET_S + 2.0


def test_an_open_circuit_breaker_sends_no_request(opt: Path) -> None:
    with Run("open circuit", 1, opt) as run:
        run.collector.script(then=Response(status=503, headers={"Retry-After": "60"}))
        with run.environment({"TELEMETRY_FORWARDER_FLUSH": "end"}):
            run.invoke()
            wait_until(lambda: {each.path for each in run.collector.requests} == ALL)
            sent = len(run.collector.requests)
            for _ in range(10):
                run.invoke()

            assert len(run.collector.requests) == sent


def test_unknown_scenario_is_an_error_that_lists_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["clock", "nonsense"])

    assert error.value.code == 2
    message = capsys.readouterr().err
    assert "no scenario begins with 'nonsense'; there are " in message
    assert all(repr(scenario.name) in message for scenario in SCENARIOS)


def test_thirty_thousand_records_are_in_the_ledger_of_one_process(opt: Path) -> None:
    result = run_soak(opt, 30_000)

    assert (result.failed, result.is_exact) == (0, True)


def test_five_thousand_records_held_at_shutdown_are_delivered(opt: Path) -> None:
    assert figures.drained_s(opt, 0) < 1.5
