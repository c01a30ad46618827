"""The answers in the place of `inspect`: they are its own, and what they do not know it is asked itself.

In a process of its own, in which `inspect` has not been loaded.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.paths import PROJECT

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules.pop("inspect", None)
from importlib.machinery import PathFinder
from telemetry_forwarder.startup.lazy_modules import defer

class Finder:
    def find_spec(name, path=None, target=None):
        if name == "inspect":
            spec = PathFinder.find_spec(name)
            defer(spec)
            return spec

sys.meta_path.insert(0, Finder)
import inspect
from telemetry_forwarder.startup.inspect_stub import lend_answers, take_back_answers
lend_answers({("__main__", "one"): ("(of, code)", ("of", "code"))})

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
is_loaded = type(inspect).__name__ != "_Deferred"
take_back_answers()
print(__import__("json").dumps([answer, is_loaded, %s]))
"""
ROOT = PROJECT


def ask(question: str) -> tuple[Any, bool, Any]:
    """The answer, whether `inspect` was loaded for it, and what `inspect` says to the same."""
    command = [sys.executable, "-c", PROGRAM % (question, question), str(ROOT)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    answer, is_loaded, real = json.loads(said)
    return answer, is_loaded, real


ANSWERED = (
    "inspect.get_annotations(Plain)",
    "inspect.get_annotations(Annotated).__repr__()",
    "inspect.get_annotations(Inherits)",
    "inspect.iscoroutinefunction(one)",
    "inspect.iscoroutinefunction(coroutine)",
    "inspect.unwrap(wrapping(wrapping(one))).__name__",
    "inspect.unwrap(one).__name__",
    "inspect.unwrap(5)",
)
ASKED = (
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


@pytest.mark.parametrize("question", [*ANSWERED, *ASKED])
def test_answer_is_that_of_inspect_which_is_loaded_only_for_what_is_not_known(question: str) -> None:
    answer, is_loaded, real = ask(question)

    assert answer == real
    assert is_loaded == (question in ASKED)


def test_answerer_that_somebody_has_kept_asks_inspect_afterwards() -> None:
    kept = "kept if 'kept' in globals() else (globals().update(kept=inspect.signature) or inspect.signature)"

    _, _, real = ask(f"str(({kept})(one))")

    assert real == "()"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("str(inspect.signature(one))", "(of, code)"),
        ("list(inspect.signature(one).parameters)", ["of", "code"]),
    ],
)
def test_signature_that_is_known_is_given_as_it_was_recorded(question: str, expected: Any) -> None:
    answer, is_loaded, _ = ask(question)

    assert not is_loaded
    assert answer == expected
