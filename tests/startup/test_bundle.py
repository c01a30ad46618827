"""The bundle: what comes out of it is what the files say, it pays, and without it everything goes on as always.

Each case is a process of its own: an interpreter imports a module once.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layer.recipe.bundling import DEFERRED
from telemetry_forwarder.startup.bundle import FILE_NAME, SIGNATURE, Bundle, ForeignBundleError
from tests.support.opt_tree import assemble

# Counts what a warm-up costs: sources compiled, byte code opened in the tree, patterns parsed.
WARM_UP = """
import json, sys
lib = sys.argv[1]
sys.path.insert(0, lib)
from re import _compiler, _parser
counts = {"compiled": 0, "opened": 0, "parsed": 0}

def audit(event, arguments):
    if event == "compile":
        counts["compiled"] += 1
    elif event == "open" and str(arguments[0]).startswith(lib):
        counts["opened"] += 1

class Counting:
    def parse(self, *arguments):
        counts["parsed"] += 1
        return _parser.parse(*arguments)
    def __getattr__(self, name):
        return getattr(_parser, name)

_compiler._parser = Counting()
compile_pattern = _compiler.compile
sys.addaudithook(audit)
from telemetry_forwarder.startup.warm_up import WarmUp
warm_up = WarmUp()
warm_up.wait()
said = dict(counts)
said["problem"] = warm_up.problem
said["deferred"] = [name for name, module in sys.modules.items() if type(module).__name__ == "_Deferred"]
said["all"] = len(sys.modules)

import collections, dataclasses, inspect, telemetry_forwarder.startup.inspect_stub
said["is_taken_back"] = (
    _compiler.compile is compile_pattern
    and not hasattr(dataclasses, "exec")
    and not hasattr(collections, "eval")
    and inspect.signature(warm_up.wait).parameters.__class__.__name__ == "mappingproxy"
)
said["data classes"] = {
    f"{name}.{of.__qualname__}": [of.__doc__, str(inspect.signature(of)), str(inspect.get_annotations(of))]
    for name, module in list(sys.modules.items()) if module.__name__ not in said["deferred"]
    for of in list(vars(module).values())
    if isinstance(of, type) and dataclasses.is_dataclass(of) and of.__module__ == name
}
said["modules"] = {
    name: [module.__file__, getattr(module, "__path__", None) and list(module.__path__), module.__package__]
    for name, module in list(sys.modules.items())
    if (getattr(module, "__file__", None) or "").startswith(lib)
}
for name in said["deferred"]:
    hasattr(sys.modules[name], "anything")
said["after being touched"] = len(sys.modules)
print(json.dumps(said))
"""

Warm = Callable[[Path], dict[str, Any]]


def warm(lib: Path, program: str = WARM_UP) -> dict[str, Any]:
    command = [sys.executable, "-I", "-S", "-B", "-c", program, str(lib)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    result: dict[str, Any] = json.loads(said)
    return result


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with its bundle, which nobody else uses."""
    source = assemble() / "telemetry-forwarder" / "lib"
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("bundle") / "lib"))


@pytest.fixture(scope="module")
def with_bundle(lib: Path) -> dict[str, Any]:
    return warm(lib)


@pytest.fixture(scope="module")
def without_bundle(lib: Path) -> dict[str, Any]:
    (lib / FILE_NAME).rename(lib / "aside")
    try:
        return warm(lib)
    finally:
        (lib / "aside").rename(lib / FILE_NAME)


def test_it_pays(with_bundle: dict[str, Any], without_bundle: dict[str, Any]) -> None:
    # What is left are the forward references of `typing`, each a word or two.
    assert with_bundle["compiled"] * 4 < without_bundle["compiled"]
    assert (with_bundle["parsed"], without_bundle["parsed"] > 50) == (0, True)
    assert without_bundle["opened"] - with_bundle["opened"] > 150


def test_modules_are_those_of_the_files(with_bundle: dict[str, Any], without_bundle: dict[str, Any]) -> None:
    of_files = {name: without_bundle["modules"][name] for name in with_bundle["modules"]}
    assert with_bundle["modules"] == of_files
    assert with_bundle["modules"].keys() >= {"telemetry_forwarder.worker.wiring", "google.protobuf", "orjson"}


def test_what_nobody_touches_is_not_loaded_until_somebody_does(
    with_bundle: dict[str, Any], without_bundle: dict[str, Any]
) -> None:
    assert set(with_bundle["deferred"]) == DEFERRED
    assert without_bundle["all"] - with_bundle["all"] > 10
    assert with_bundle["after being touched"] - with_bundle["all"] > 10


def test_data_classes_are_those_that_inspect_had_a_hand_in(
    with_bundle: dict[str, Any], without_bundle: dict[str, Any]
) -> None:
    assert with_bundle["data classes"] == without_bundle["data classes"]
    assert len(with_bundle["data classes"]) > 20


def test_compilers_of_others_are_given_back(with_bundle: dict[str, Any]) -> None:
    assert with_bundle["is_taken_back"]


def test_what_is_not_in_it_is_compiled_as_always(lib: Path) -> None:
    program = """
import json, sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder.startup.bundle import Bundle
Bundle().install()
import collections, dataclasses, re
Pair = dataclasses.make_dataclass("Pair", ["left_of_nobody", "right_of_nobody"])
Names = collections.namedtuple("Names", "first_of_nobody last_of_nobody")
found = re.compile("(?P<nobody>[a-z]+) has (this|that) pattern", re.I).match("NOBODY has that pattern")
print(json.dumps([Pair(1, 2).right_of_nobody, Names(3, 4).last_of_nobody, found["nobody"]]))
"""
    assert warm(lib, program) == [2, 4, "NOBODY"]


def test_pattern_is_known_by_its_flags_too(lib: Path) -> None:
    program = """
import json, sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder.startup.bundle import Bundle
bundle = Bundle()
bundle.install()
import re
(pattern, flags), *_ = [key for key in bundle._patterns if isinstance(key[0], str) and key[1] == 0]
print(json.dumps([re.compile(pattern).flags, re.compile(pattern, re.I | re.A).flags]))
"""
    plain, other = warm(lib, program)
    assert other & (2 | 256) == 2 | 256
    assert plain & (2 | 256) == 0


def test_second_one_is_as_good_as_the_first(lib: Path) -> None:
    program = """
import json, sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder.startup.bundle import Bundle
Bundle().install()
Bundle().install()
import subprocess, telemetry_forwarder.worker.wiring
print(json.dumps(subprocess.PIPE))
"""
    assert warm(lib, program) == -1


def cut(content: bytes) -> bytes:
    """The code is gone, the index is there."""
    return content[: len(content) // 4]


@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        pytest.param(cut, "", id="cut"),
        pytest.param(lambda content: content[:60], "EOFError", id="cut within the index"),
        pytest.param(lambda content: b"", "", id="empty"),
        pytest.param(lambda content: b"x" * len(SIGNATURE) + content, "", id="another Python's"),
    ],
)
def test_damaged_one_costs_time_and_nothing_else(
    lib: Path, without_bundle: dict[str, Any], damaged: Callable[[bytes], bytes], problem: str
) -> None:
    whole = (lib / FILE_NAME).read_bytes()
    try:
        (lib / FILE_NAME).write_bytes(damaged(whole))
        said = warm(lib)
    finally:
        (lib / FILE_NAME).write_bytes(whole)

    assert "telemetry_forwarder.worker.wiring" in said["modules"]
    assert said["problem"].partition(":")[0] == problem
    assert said["modules"].items() <= without_bundle["modules"].items()
    assert said["is_taken_back"]


def test_folder_without_one_is_an_error_to_whoever_opens_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Bundle(str(tmp_path))


def test_one_for_another_python_is_refused_and_closed(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(SIGNATURE.replace(b" 1 ", b" 2 ") + bytes(64))
    open_before = set(Path("/proc/self/fd").iterdir())

    with pytest.raises(ForeignBundleError, match="another Python"):
        Bundle(str(tmp_path))

    assert set(Path("/proc/self/fd").iterdir()) == open_before
