"""Answers what modules ask of `inspect` while they are imported, as it would, without loading it.

That is `dataclasses` and `typing_extensions`, and nothing else uses it or `ast` and `dis` behind it: 18 million
instructions of a warm-up and 1 MB. A question that has no answer here loads it.
"""

import inspect
import sys
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from telemetry_forwarder.startup.lazy_modules import lend, take_back

Signatures = Mapping[tuple[str, str], tuple[str, tuple[str, ...]]]
"""By module and qualified name: as text, and the names of the parameters."""

# https://docs.python.org/3/library/inspect.html#inspect.CO_COROUTINE
_CO_COROUTINE = 128


def lend_answers(signatures: Signatures) -> None:
    """Until `take_back_answers`. *signatures* are those of the same code, by the same Python."""
    _known.update(signatures)
    for name, answer in _ANSWERS.items():
        lend(inspect, name, answer)


def take_back_answers() -> None:
    """Nobody asks any more as those do who are imported first. Whoever has kept an answerer asks `inspect` by it."""
    _known.clear()
    take_back(inspect)


_known: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}


def _signature(of: Any, **options: Any) -> Any:
    name = (getattr(of, "__module__", ""), getattr(of, "__qualname__", ""))
    known = None if options else _known.get(name)
    return _Signature(*known) if known else _real("signature")(of, **options)


def _get_annotations(of: Any, **options: Any) -> Any:
    # From Python 3.14 on a class makes them when it is asked for them.
    if options or not isinstance(of, type) or sys.version_info >= (3, 14):
        return _real("get_annotations")(of, **options)
    return dict(of.__dict__.get("__annotations__", ()))  # noqa: RUF063  # that is this function itself


def _iscoroutinefunction(of: Any) -> Any:
    is_plain = isinstance(of, FunctionType) and not of.__dict__
    return bool(of.__code__.co_flags & _CO_COROUTINE) if is_plain else _real("iscoroutinefunction")(of)


def _unwrap(of: Any, **options: Any) -> Any:
    if options:
        return _real("unwrap")(of, **options)
    while hasattr(of, "__wrapped__"):
        of = of.__wrapped__
    return of


_ANSWERS = {
    "signature": _signature,
    "get_annotations": _get_annotations,
    "iscoroutinefunction": _iscoroutinefunction,
    "unwrap": _unwrap,
}


def _real(name: str) -> Any:
    take_back_answers()
    return getattr(inspect, name)


class _Signature:
    def __init__(self, text: str, parameters: tuple[str, ...]) -> None:
        self._text = text
        self.parameters = parameters

    def __str__(self) -> str:
        return self._text
