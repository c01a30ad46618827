from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS

INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_input_of_the_corpus_breaks_a_promise(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_corpus_of_each_target_is_small(name: str) -> None:
    sizes = [path.stat().st_size for path in INPUTS if path.parent.name == name]

    assert 0 < len(sizes) <= 50
    assert sum(sizes) < 50_000


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_break_no_promise(name: str) -> None:
    """`./build.sh fuzz` searches for longer, guided by coverage."""
    corpus = [path.read_bytes() for path in INPUTS if path.parent.name == name]

    assert mutate(TARGETS[name], corpus, 0.5, seed=0) > 0


def test_failing_input_is_shown() -> None:
    def fails(data: bytes) -> None:
        assert len(data) < 100

    with pytest.raises(AssertionError) as raised:
        mutate(fails, [b"x" * 99], 600, seed=0)

    assert raised.value.__notes__[0].startswith("input: b'")
