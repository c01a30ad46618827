"""Modules that wait until they are touched. Each is a file of its own, found by the import system."""

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from telemetry_forwarder.startup.lazy_modules import defer, lend, take_back

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules whose import is deferred; what runs of them is seen in `RAN`."""
    names: set[str] = set()

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if name not in names:
                return None
            spec = PathFinder.find_spec(name, path)
            assert spec is not None
            defer(spec)
            return spec

    def write_module(name: str, text: str) -> None:
        file = tmp_path.joinpath(*name.split("."))
        file.parent.mkdir(exist_ok=True)
        file.with_suffix(".py").write_text(f"import sys; sys.ran.append(__name__)\n{text}")
        names.add(name.removesuffix(".__init__"))

    monkeypatch.setattr(sys, "ran", [], raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    importlib.invalidate_caches()
    yield write_module
    for name in names:
        sys.modules.pop(name, None)


def ran() -> list[str]:
    return sys.ran  # type: ignore[attr-defined, no-any-return]


def imported(name: str) -> ModuleType:
    exec(f"import {name}", {})
    return sys.modules[name]


def test_neither_import_loads_it_and_the_first_touch_does(write: Write) -> None:
    write("waits", "value = 5")

    module = imported("waits")
    assert imported("waits") is module
    assert ran() == []

    assert module.value == 5
    assert module.value == 5
    assert ran() == ["waits"]
    assert type(module) is ModuleType


def test_it_says_where_it_is_from_without_being_loaded(write: Write, tmp_path: Path) -> None:
    write("waits", "")

    module = imported("waits")

    assert module.__file__ == str(tmp_path / "waits.py")
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert not hasattr(module, "__path__")
    assert ran() == []


@pytest.mark.parametrize("statement", ["from waits import value", "from waits import *"])
def test_whoever_takes_names_from_it_loads_it(write: Write, statement: str) -> None:
    write("waits", "value = 5")
    space: dict[str, Any] = {}

    exec(statement, space)

    assert space["value"] == 5


def test_module_of_a_package_that_waits_is_imported_without_it(write: Write) -> None:
    write("waits.__init__", "from waits import inner\nvalue = inner.value")
    write("waits.inner", "value = 6")

    inner = imported("waits.inner")
    assert ran() == []

    assert sys.modules["waits"].value == 6
    assert sys.modules["waits"].inner is inner
    assert ran() == ["waits", "waits.inner"]


def test_name_that_it_does_not_have_is_an_error_as_of_any_module(write: Write) -> None:
    write("waits", "")

    with pytest.raises(AttributeError, match="module 'waits' has no attribute 'nothing'"):
        _ = imported("waits").nothing


def test_module_that_asks_for_itself_while_it_loads_sees_what_it_has_so_far(write: Write) -> None:
    write("waits", "value = 5\nimport waits\nseen = (waits.value, hasattr(waits, 'later'))\nlater = 1")

    assert imported("waits").seen == (5, False)


@pytest.mark.parametrize("name", ["__doc__", "__version__"])
def test_what_a_module_says_of_itself_is_there(write: Write, name: str) -> None:
    write("waits", "__doc__ = __version__ = 'said'")

    assert getattr(imported("waits"), name) == "said"


def test_what_is_set_before_it_is_loaded_stays(write: Write) -> None:
    write("waits", "value = 5")
    module = imported("waits")

    module.value = 7  # type: ignore[attr-defined]

    assert module.value == 7


def test_what_is_gone_before_it_is_loaded_stays_gone(write: Write) -> None:
    write("waits", "gone = 6")
    module = imported("waits")

    del module.gone

    assert not hasattr(module, "gone")


def test_failure_is_raised_to_whoever_touches_it_and_the_next_one_tries_again(write: Write) -> None:
    write("waits", "if len(sys.ran) < 2: raise LookupError('not yet')\nvalue = 5")

    with pytest.raises(LookupError, match="not yet"):
        _ = imported("waits").value

    assert imported("waits").value == 5


def test_thread_that_comes_second_waits_for_the_whole_module(write: Write) -> None:
    # The one that loads is held in the middle; the other must not see half of it.
    write("waits", "early = 1\nsys.began.set(); sys.go.wait(60)\nlate = 2")
    began, go = threading.Event(), threading.Event()
    sys.began, sys.go = began, go  # type: ignore[attr-defined]
    module = imported("waits")
    seen: list[int] = []

    def second() -> None:
        value = module.early
        seen.append(value + vars(module).get("late", 0))

    first = threading.Thread(target=lambda: module.late)
    other = threading.Thread(target=second)
    first.start()
    assert began.wait(60)
    other.start()
    while not _lock_of("waits").waiters and other.is_alive():
        pass
    go.set()
    first.join()
    other.join()

    assert seen == [3]
    assert ran() == ["waits"]


def _lock_of(name: str) -> Any:
    import _frozen_importlib

    return _frozen_importlib._get_module_lock(name)  # type: ignore[attr-defined]


def test_what_is_lent_is_had_without_loading_until_it_is_taken_back(write: Write) -> None:
    write("waits", "answer = 'its own'\nother = 1")
    module = imported("waits")

    lend(module, "answer", "lent")
    assert module.answer == "lent"
    assert ran() == []

    take_back(module)
    assert module.answer == "its own"


def test_module_that_is_loaded_answers_for_itself(write: Write) -> None:
    write("waits", "answer = 'its own'\nother = 1")
    module = imported("waits")
    lend(module, "answer", "lent")

    assert module.other == 1
    assert module.answer == "its own"

    lend(module, "answer", "lent")
    assert module.answer == "its own"
