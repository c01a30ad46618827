"""Each case runs in its own process, in which `inspect` has not been loaded."""

import json
import subprocess
from typing import Any

import pytest

from tests.support.paths import PROJECT
from tests.support.subprocess_coverage import isolated_python

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules.pop("inspect", None)
from importlib.machinery import PathFinder
from telemetry_forwarder.startup.lazy_modules import make_lazy

class Finder:
    def find_spec(name, path=None, target=None):
        if name == "inspect":
            spec = PathFinder.find_spec(name)
            make_lazy(spec)
            return spec

sys.meta_path.insert(0, Finder)
import inspect
from telemetry_forwarder.startup import inspect_stub
inspect_stub.install({("__main__", "one"): ("(of, code)", ("of", "code"))})

def one(): pass
def other(a, *, b): pass
async def coroutine(): pass
class Plain: pass
class Annotated: a: int; b: "str"
class Inherits(Annotated): pass

def wrapping(f):
    def wrapper(): pass
    wrapper.__wrapped__ = f
    return wrapper

answer = %s
is_loaded = type(inspect).__name__ != "_LazyModule"
inspect_stub.restore()
print(__import__("json").dumps([answer, is_loaded, %s]))
"""


def evaluate(expression: str) -> tuple[Any, bool, Any]:
    """Return the answer, whether `inspect` was loaded for it, and the answer of the real `inspect`."""
    command = isolated_python(PROGRAM % (expression, expression), str(PROJECT))
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    answer, is_loaded, real = json.loads(output)
    return answer, is_loaded, real


COVERED = (
    "inspect.get_annotations(Plain)",
    "inspect.get_annotations(Annotated).__repr__()",
    "inspect.get_annotations(Inherits)",
    "inspect.iscoroutinefunction(one)",
    "inspect.iscoroutinefunction(coroutine)",
    "inspect.unwrap(wrapping(wrapping(one))).__name__",
    "inspect.unwrap(one).__name__",
    "inspect.unwrap(5)",
)
NOT_COVERED = (
    "str(inspect.signature(other))",
    "list(inspect.signature(other).parameters)",
    "str(inspect.signature(one, follow_wrapped=False))",
    "str(inspect.signature(__import__('functools').partial(other, 1)))",
    "inspect.get_annotations(Annotated, eval_str=True).__repr__()",
    "inspect.get_annotations(one)",
    "inspect.iscoroutinefunction(Annotated)",
    "inspect.iscoroutinefunction(wrapping(coroutine))",
    "inspect.unwrap(wrapping(one), stop=lambda f: True).__name__",
    "inspect.isclass(Plain)",
)


@pytest.mark.parametrize("expression", [*COVERED, *NOT_COVERED])
def test_answer_is_that_of_inspect_which_is_loaded_only_if_no_stand_in_covers_the_call(expression: str) -> None:
    answer, is_loaded, real = evaluate(expression)

    assert answer == real
    assert is_loaded == (expression in NOT_COVERED)


def test_kept_reference_calls_the_real_inspect_after_the_restore() -> None:
    kept = "kept if 'kept' in globals() else (globals().update(kept=inspect.signature) or inspect.signature)"

    _, _, real = evaluate(f"str(({kept})(one))")

    assert real == "()"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("str(inspect.signature(one))", "(of, code)"), ("list(inspect.signature(one).parameters)", ["of", "code"])],
)
def test_recorded_signature_is_returned(expression: str, expected: Any) -> None:
    answer, is_loaded, _ = evaluate(expression)

    assert not is_loaded
    assert answer == expected
