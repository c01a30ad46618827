"""Runs the cheapest form of each benchmark; checks what is measured, not how fast it is."""

from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import environments, instructions, memory, plots, records, start_up, trees
from tests.bench.driven_extension import driven_extension
from tests.bench.figures import Figure, comparison, load_results, save_results, table
from tests.bench.measuring import Callgrind, interleaved
from tests.bench.sink import Sink


@pytest.fixture(scope="module")
def tree(opt: Path) -> trees.Tree:
    return trees.checkout(opt)


def test_startup_compares_register_next_and_cpu_with_the_bare_interpreter(tree: trees.Tree) -> None:
    figures = start_up.run([tree], trees.tutorial(), 1)

    assert {figure.name for figure in figures if figure.goal} == {
        "exec to register: checkout",
        "exec to first next, background: checkout",
        "tutorial extension's exec to register, compared with ours: checkout",
        "CPU until warm: checkout",
    }
    assert all(figure.value > 0 for figure in figures)


def test_start_with_a_runtime_measures_when_both_are_ready(tree: trees.Tree) -> None:
    readings = start_up.boot(tree, start_up.runtimes()["awslambdaric"], "background")()

    assert readings["ready"] >= readings["runtime"] > 0


@pytest.mark.parametrize("kind", records.KINDS)
def test_every_record_of_a_run_arrives(tree: trees.Tree, kind: str) -> None:
    assert records.records_case(tree, kind, 100, 200)()["cpu"] > 0


def test_every_record_of_the_tutorial_extension_arrives() -> None:
    assert records.records_case(trees.tutorial(), "json", 100, 200)()["cpu"] > 0


def test_driver_does_not_wait_for_a_next_that_was_called_before_the_end(tree: trees.Tree) -> None:
    """After a flush that overran the budget no invocation waits, so `next` is called early."""
    settings = {"TELEMETRY_FORWARDER_FLUSH": "end", "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "50"}
    with Sink(0.2) as sink, driven_extension(tree, sink, settings) as extension:
        extension.end(extension.begin())
        early: list[int] = []
        # On a busy machine a flush may be seen to overrun the budget only later.
        for number in range(20):
            calls = extension.api.next_calls
            request_id = extension.begin()
            with suppress(TimeoutError):
                extension.api.wait_for_next_calls(calls + 1, timeout_s=5.0)
                early.append(number)
            extension.end(request_id)
            assert extension.api.next_calls == calls + 1
            if early:
                break

        assert early


def test_memory_and_idle_cpu_are_measured(tree: trees.Tree) -> None:
    assert memory.warm(tree)()["warm"] > 1
    assert memory.many(tree, 2_000)()["after"] > 1
    assert memory.big(tree, 1)()["peak"] > 1
    assert len([spent for spent in memory.idle(tree, 0.1, 2) if spent >= 0]) == 2


def test_shares_compare_environments_with_and_without_the_extension(tree: trees.Tree) -> None:
    with_extension, without = (environments.share(tree, 1_769, warm=1)(), environments.share(None, 1_769, warm=1)())

    assert with_extension.keys() - without.keys() == {"cpu"}


def test_next_waits_for_the_response_of_the_endpoint(tree: trees.Tree) -> None:
    assert environments.held(tree, 50, invocations=2)()["held"] >= 50


def test_shutdown_delivers_what_is_held(tree: trees.Tree) -> None:
    assert environments.shut_down(tree, 500)()["seconds"] > 0


def test_cases_are_interleaved_in_alternating_order() -> None:
    turns: list[str] = []

    def case(name: str) -> dict[str, float]:
        turns.append(name)
        return {"turn": len(turns)}

    readings = interleaved({"a": lambda: case("a"), "b": lambda: case("b")}, 3)

    assert "".join(turns) == "baabba"
    assert readings == {"a": {"turn": [2, 3, 6]}, "b": {"turn": [1, 4, 5]}}


def test_two_trees_are_compared_in_each_round() -> None:
    readings = {"text a": {"cpu": [2.0, 4.0, 12.0]}, "text b": {"cpu": [1.0, 4.0, 4.0]}, "bare": {"cpu": [1.0]}}

    [figure] = comparison(readings, ["a", "b"], "us")

    assert (figure.name, figure.value, figure.reference_value) == ("cpu: text a", 4.0, 4.0)
    assert figure.ratio_quartiles == (1.5, 2.0, 2.5)
    assert "1.500 to 2.500" in table([figure])


def test_one_tree_is_not_compared() -> None:
    assert comparison({"text a": {"cpu": [1.0]}}, ["a"], "us") == []


@pytest.mark.skipif(not Callgrind.is_available, reason="valgrind is not installed")
def test_instructions_are_counted_until_two_runs_agree() -> None:
    """Takes the seconds of two runs under valgrind: a run that was cut off would pass for a short one."""
    assert instructions.start_up_millions(trees.minimal()) > 10


def test_goals_are_about_values_or_ratios() -> None:
    figures = [
        Figure(name="value", value=8, unit="us", goal="<= 8"),
        Figure(name="at least", value=20, unit="ms", reference="x", reference_value=10, goal="ratio >= 3"),
        Figure(name="none", value=1, unit="ms"),
    ]

    assert [figure.is_goal_met for figure in figures] == [True, False, None]
    assert "NOT MET" in table(figures).splitlines()[2]


def test_results_of_other_benchmarks_are_kept(tmp_path: Path) -> None:
    results = tmp_path / "bench.json"

    save_results(results, [Figure(name="a", value=1, unit="ms"), Figure(name="b", value=1, unit="ms")])
    save_results(results, [Figure(name="b", value=2, unit="ms")])

    assert [(entry["name"], entry["value"]) for entry in load_results(results)] == [("a", 1), ("b", 2)]


def test_plots_are_well_formed_and_name_their_command(tmp_path: Path) -> None:
    results = tmp_path / "bench.json"
    save_results(
        results, [Figure(name="RSS warm: checkout", value=31, unit="MB", reference="tutorial", reference_value=41)]
    )

    plots.draw("memory", results, tmp_path)

    drawn = ElementTree.parse(tmp_path / "memory.svg").getroot()
    assert "python -m tests.bench memory" in "".join(drawn.itertext())
