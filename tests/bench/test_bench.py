"""The cheapest form of each benchmark: that they run and what they find, never how fast it was."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import lives, memory, plots, records, start_up, trees
from tests.bench.figures import Figure, read, table, write
from tests.bench.measuring import interleaved


@pytest.fixture(scope="module")
def tree(opt: Path) -> trees.Tree:
    return trees.checkout(opt)


def test_startup_tells_register_next_and_cpu_against_the_bare_interpreter(tree: trees.Tree) -> None:
    figures = start_up.run([tree], trees.naive(), 1)

    assert {figure.name for figure in figures if figure.goal} == {
        "exec to register: checkout",
        "exec to first next, background: checkout",
        "naive extension's exec to register, against ours: checkout",
        "CPU until warm: checkout",
    }
    assert all(figure.value > 0 for figure in figures)


def test_start_beside_a_runtime_tells_when_both_are_ready(tree: trees.Tree) -> None:
    found = start_up.boot(tree, start_up.runtimes()["awslambdaric"], "background")()

    assert found["ready"] >= found["runtime"] > 0


@pytest.mark.parametrize("kind", records.KINDS)
def test_every_record_of_a_run_arrives(tree: trees.Tree, kind: str) -> None:
    assert records.way(tree, kind, 100, 200)()["cpu"] > 0


def test_the_way_of_the_sdk_delivers_every_record_too() -> None:
    assert records.way(trees.naive(), "json", 100, 200)()["cpu"] > 0


def test_memory_and_idleness_are_read(tree: trees.Tree) -> None:
    assert memory.warm(tree)()["warm"] > 1
    assert memory.many(tree, 2_000)()["after"] > 1
    assert memory.big(tree, 1)()["peak"] > 1
    assert len([spent for spent in memory.idle(tree, 0.1, 2) if spent >= 0]) == 2


def test_shares_compare_lives_with_and_without_us(tree: trees.Tree) -> None:
    with_us, without = lives.share(tree, 1_769, warm=1)(), lives.share(None, 1_769, warm=1)()

    assert with_us.keys() - without.keys() == {"cpu"}


def test_next_is_held_at_least_until_the_endpoint_has_answered(tree: trees.Tree) -> None:
    assert lives.held(tree, 50, invocations=2)()["held"] >= 50


def test_shutdown_delivers_what_is_held(tree: trees.Tree) -> None:
    assert lives.shut_down(tree, 500)()["seconds"] > 0


def test_cases_take_turns() -> None:
    turns: list[str] = []

    def case(name: str) -> dict[str, float]:
        turns.append(name)
        return {"turn": len(turns)}

    readings = interleaved({"a": lambda: case("a"), "b": lambda: case("b")}, 3)

    assert "".join(turns) == "baabba"
    assert readings == {"a": {"turn": [2, 3, 6]}, "b": {"turn": [1, 4, 5]}}


def test_goals_are_about_values_or_ratios() -> None:
    figures = [
        Figure(name="value", value=8, unit="us", goal="<= 8"),
        Figure(name="at least", value=20, unit="ms", reference="x", reference_value=10, goal="ratio >= 3"),
        Figure(name="none", value=1, unit="ms"),
    ]

    assert [figure.holds for figure in figures] == [True, False, None]
    assert "DOES NOT HOLD" in table(figures).splitlines()[2]


def test_results_of_another_run_are_kept_beside_the_new_ones(tmp_path: Path) -> None:
    results = tmp_path / "bench.json"

    write(results, [Figure(name="a", value=1, unit="ms"), Figure(name="b", value=1, unit="ms")])
    write(results, [Figure(name="b", value=2, unit="ms")])

    assert [(entry["name"], entry["value"]) for entry in read(results)] == [("a", 1), ("b", 2)]


def test_plots_are_well_formed_and_name_their_command(tmp_path: Path) -> None:
    results = tmp_path / "bench.json"
    write(
        results,
        [Figure(name="RSS warm: checkout", value=31, unit="MB", reference="naive", reference_value=41)],
    )

    plots.draw("memory", results, tmp_path)

    drawn = ElementTree.parse(tmp_path / "memory.svg").getroot()
    assert "python -m tests.bench memory" in "".join(drawn.itertext())
