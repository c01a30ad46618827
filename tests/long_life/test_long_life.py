from pathlib import Path

from tests.long_life.life import run


def test_counts_are_exact_and_nothing_grows_over_a_simulated_hour(opt: Path) -> None:
    life = run(opt, simulated_s=3_600.0, lines=50_000, seed=2)

    assert life.problems == []
