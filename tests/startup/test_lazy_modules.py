import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from telemetry_forwarder.startup.lazy_modules import make_lazy, restore, substitute

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes lazy modules; each appends its name to `sys.ran` when it is loaded."""
    names: set[str] = set()

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if name not in names:
                return None
            spec = PathFinder.find_spec(name, path)
            assert spec is not None
            make_lazy(spec)
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


def test_first_use_loads_the_module_and_imports_do_not(write: Write) -> None:
    write("lazy", "value = 5")

    module = imported("lazy")
    assert imported("lazy") is module
    assert ran() == []

    assert module.value == 5
    assert module.value == 5
    assert ran() == ["lazy"]
    assert type(module) is ModuleType


def test_import_attributes_are_available_without_loading(write: Write, tmp_path: Path) -> None:
    write("lazy", "")

    module = imported("lazy")

    assert module.__file__ == str(tmp_path / "lazy.py")
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert not hasattr(module, "__path__")
    assert ran() == []


@pytest.mark.parametrize("statement", ["from lazy import value", "from lazy import *"])
def test_from_import_loads_the_module(write: Write, statement: str) -> None:
    write("lazy", "value = 5")
    space: dict[str, Any] = {}

    exec(statement, space)

    assert space["value"] == 5


def test_submodule_is_imported_without_loading_its_lazy_package(write: Write) -> None:
    write("lazy.__init__", "from lazy import inner\nvalue = inner.value")
    write("lazy.inner", "value = 6")

    inner = imported("lazy.inner")
    assert ran() == []

    assert sys.modules["lazy"].value == 6
    assert sys.modules["lazy"].inner is inner
    assert ran() == ["lazy", "lazy.inner"]


def test_missing_attribute_raises_as_for_any_module(write: Write) -> None:
    write("lazy", "")

    with pytest.raises(AttributeError, match="module 'lazy' has no attribute 'nothing'"):
        _ = imported("lazy").nothing


def test_module_sees_its_own_attributes_while_it_is_loading(write: Write) -> None:
    write("lazy", "value = 5\nimport lazy\nseen = (lazy.value, hasattr(lazy, 'later'))\nlater = 1")

    assert imported("lazy").seen == (5, False)


@pytest.mark.parametrize("name", ["__doc__", "__version__"])
def test_dunder_attributes_are_loaded(write: Write, name: str) -> None:
    write("lazy", "__doc__ = __version__ = 'text'")

    assert getattr(imported("lazy"), name) == "text"


def test_attribute_set_before_loading_keeps_its_value(write: Write) -> None:
    write("lazy", "value = 5")
    module = imported("lazy")

    module.value = 7  # type: ignore[attr-defined]

    assert module.value == 7


def test_attribute_deleted_before_loading_stays_deleted(write: Write) -> None:
    write("lazy", "gone = 6")
    module = imported("lazy")

    del module.gone

    assert not hasattr(module, "gone")


def test_failed_load_raises_and_is_tried_again(write: Write) -> None:
    write("lazy", "if len(sys.ran) < 2: raise LookupError('not yet')\nvalue = 5")

    with pytest.raises(LookupError, match="not yet"):
        _ = imported("lazy").value

    assert imported("lazy").value == 5


def test_second_thread_waits_until_the_module_is_completely_loaded(write: Write) -> None:
    # The first thread is held while it loads; the second must not see half of the module.
    write("lazy", "early = 1\nsys.began.set(); sys.go.wait(60)\nlate = 2")
    began, go = threading.Event(), threading.Event()
    sys.began, sys.go = began, go  # type: ignore[attr-defined]
    module = imported("lazy")
    seen: list[int] = []

    def second() -> None:
        value = module.early
        seen.append(value + vars(module).get("late", 0))

    first = threading.Thread(target=lambda: module.late)
    other = threading.Thread(target=second)
    first.start()
    assert began.wait(60)
    other.start()
    while not _lock_of("lazy").waiters and other.is_alive():
        pass
    go.set()
    first.join()
    other.join()

    assert seen == [3]
    assert ran() == ["lazy"]


def _lock_of(name: str) -> Any:
    import _frozen_importlib

    return _frozen_importlib._get_module_lock(name)  # type: ignore[attr-defined]


def test_substitute_is_returned_without_loading_until_the_restore(write: Write) -> None:
    write("lazy", "answer = 'its own'\nother = 1")
    module = imported("lazy")

    substitute(module, "answer", "substitute")
    assert module.answer == "substitute"
    assert ran() == []

    restore(module)
    assert module.answer == "its own"


def test_loaded_module_ignores_substitutes(write: Write) -> None:
    write("lazy", "answer = 'its own'\nother = 1")
    module = imported("lazy")
    substitute(module, "answer", "substitute")

    assert module.other == 1
    assert module.answer == "its own"

    substitute(module, "answer", "substitute")
    assert module.answer == "its own"
