"""Stand-ins for functions of `inspect` while the warm-up imports modules, so that `inspect` itself is not loaded.

`dataclasses` and `typing_extensions` call them during import, and nothing else needs `inspect`, nor the `ast` and `dis`
behind it. The results are those of `inspect`; a call that no stand-in covers loads it.
"""

import inspect
import sys
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from telemetry_forwarder.startup import lazy_modules

Signatures = Mapping[tuple[str, str], tuple[str, tuple[str, ...]]]
"""(module, qualified name) -> the signature as text, and the names of its parameters."""

# https://docs.python.org/3/library/inspect.html#inspect.CO_COROUTINE
_CO_COROUTINE = 128


def install(signatures: Signatures) -> None:
    """Patch `inspect` until `restore`. *signatures* were recorded for the same code with the same Python."""
    _signatures.update(signatures)
    for stand_in in (_signature, _get_annotations, _iscoroutinefunction, _unwrap):
        lazy_modules.substitute(inspect, stand_in.__name__.removeprefix("_"), stand_in)


def restore() -> None:
    """Remove the stand-ins: imports are done. References that were kept now call the real `inspect`."""
    _signatures.clear()
    lazy_modules.restore(inspect)


_signatures: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}


def _signature(of: Any, **options: Any) -> Any:
    name = (getattr(of, "__module__", ""), getattr(of, "__qualname__", ""))
    recorded = None if options else _signatures.get(name)
    return _Signature(*recorded) if recorded else _real("signature")(of, **options)


def _get_annotations(of: Any, **options: Any) -> Any:
    # Since Python 3.14 a class computes its annotations on demand.
    if options or not isinstance(of, type) or sys.version_info >= (3, 14):
        return _real("get_annotations")(of, **options)
    return dict(of.__dict__.get("__annotations__", ()))  # noqa: RUF063  # this function is the recommended one


def _iscoroutinefunction(of: Any) -> Any:
    is_plain = isinstance(of, FunctionType) and not of.__dict__
    return bool(of.__code__.co_flags & _CO_COROUTINE) if is_plain else _real("iscoroutinefunction")(of)


def _unwrap(of: Any, **options: Any) -> Any:
    if options:
        return _real("unwrap")(of, **options)
    while hasattr(of, "__wrapped__"):
        of = of.__wrapped__
    return of


def _real(name: str) -> Any:
    restore()
    return getattr(inspect, name)


class _Signature:
    """The part of `inspect.Signature` that `dataclasses` and `typing_extensions` read."""

    def __init__(self, text: str, parameters: tuple[str, ...]) -> None:
        self._text = text
        self.parameters = parameters

    def __str__(self) -> str:
        return self._text
