"""`@data` and `@state`: what `@dataclass` is, without the code that `dataclasses` generates for each class.

That code is compiled anew in every process: 2 to 9 million instructions a class, a sixth of the whole warm-up, which
below one vCPU is part of a cold start. Here all classes share the methods below. For what is made a few times an
invocation; what is made per log line is `@compared`.
"""

from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make *cls* a frozen data class of its annotated names, those of its bases first."""
    return _with(cls, __init__=_init, __repr__=_repr, __eq__=_eq, __hash__=_hash, **_FROZEN)


@dataclass_transform(eq_default=False)
def state(cls: type[T]) -> type[T]:
    """The same for what changes: its attributes can be set, and it is equal to itself alone."""
    return _with(cls, __init__=_init, __repr__=_repr)


def _with(cls: type[T], **members: Any) -> type[T]:
    names = (*getattr(cls, "__match_args__", ()), *cls.__annotations__)
    members["__match_args__"] = names
    members["__known__"] = frozenset(names)
    # What is not given is found in the class: its default.
    members["__required__"] = frozenset(name for name in names if not hasattr(cls, name))
    for name, member in members.items():
        setattr(cls, name, member)
    return cls


def comparable(cls: type[T]) -> type[T]:
    """Compare and show instances of *cls* by its slots, for a class that has an `__init__` of its own.

    For the two values that are made for every line of every log. As a `NamedTuple` one of twelve fields takes 370 ns
    to make and 17 ns at each look, so 270 and 4 (CPython 3.11; 3.13 likewise). `Final` keeps them frozen: mypy does.
    """
    methods = {"__repr__": _repr, "__eq__": _eq, "__hash__": _hash}
    for name, member in {"__match_args__": cls.__slots__, **methods}.items():  # type: ignore[attr-defined]
        setattr(cls, name, member)
    return cls


def _init(self: Any, *values: Any, **named: Any) -> None:
    names, given = self.__match_args__, self.__dict__
    if len(values) == len(names) and not named:
        given.update(zip(names, values, strict=True))
        return
    if values:
        given.update(zip(names, values, strict=False))
    given.update(named)
    is_lacking = len(given) < len(names) and not self.__required__ <= given.keys()
    if is_lacking or not named.keys() <= self.__known__ or len(given) != len(values) + len(named):
        raise TypeError(f"{type(self).__name__}({', '.join(names)}): given {len(values)}, {', '.join(named)}")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in type(self).__match_args__])


def _repr(self: Any) -> str:
    pairs = zip(type(self).__match_args__, _values(self), strict=True)
    return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


def _eq(self: Any, other: object) -> bool:
    return type(self) is type(other) and _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse(self: Any, name: str, value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")


_FROZEN = {"__setattr__": _refuse, "__delattr__": _refuse}
