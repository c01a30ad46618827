"""Every scenario of `tests/chaos`, three times: nothing fails because of us, nothing is lost, the books are right."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.__main__ import SCENARIOS
from tests.chaos.scenario import Scenario
from tests.chaos.verdict import Verdict

SEEDS = range(3)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_is_lost_and_nobody_slowed(scenario: Scenario, opt: Path) -> None:
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        verdict = Verdict.all_of(pool.map(lambda seed: scenario.run(seed, opt), SEEDS))

    assert (verdict.failed, verdict.lost, verdict.is_exact) == (0, 0, True), verdict.remarks
    assert verdict.duplicates <= verdict.unavoidable_duplicates, verdict.remarks
