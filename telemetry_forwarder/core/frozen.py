"""Frozen data classes without the code that `dataclasses` generates and compiles for each class.

Generated code is compiled anew in every process, which below one vCPU lengthens the cold start. Here all classes
share the methods below. `@frozen` is for values that are created a few times per invocation, `@comparable` for
values that are created for every log line. What is created at every step of an invocation is a `NamedTuple`.
"""

from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make *cls* a frozen data class of its annotated names, those of its bases first."""
    names = (*getattr(cls, "__match_args__", ()), *cls.__annotations__)
    return _with(
        cls,
        __match_args__=names,
        __known__=frozenset(names),
        # A class attribute is the default of its field.
        __required__=frozenset(name for name in names if not hasattr(cls, name)),
        __init__=_init,
        __setattr__=_refuse,
        __delattr__=_refuse,
        **_VALUE_METHODS,
    )


def comparable(cls: type[T]) -> type[T]:
    """Compare, hash and show instances of *cls* by its `__slots__`; its `__init__` is its own, and so is fast.

    `Final` in that `__init__` keeps the attributes frozen for the type checker.
    """
    return _with(cls, __match_args__=cls.__slots__, **_VALUE_METHODS)  # type: ignore[attr-defined]  # it has slots


def _with(cls: type[T], **members: Any) -> type[T]:
    for name, member in members.items():
        setattr(cls, name, member)
    return cls


def _init(self: Any, *values: Any, **named: Any) -> None:
    names, fields = self.__match_args__, self.__dict__
    fields.update(zip(names, values, strict=False), **named)
    is_incomplete = len(fields) < len(names) and not self.__required__ <= fields.keys()
    if is_incomplete or not named.keys() <= self.__known__ or len(fields) != len(values) + len(named):
        arguments = ", ".join([f"{len(values)} by position", *named])
        raise TypeError(f"{type(self).__name__}({', '.join(names)}): invalid arguments: {arguments}")


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


_VALUE_METHODS = {"__repr__": _repr, "__eq__": _eq, "__hash__": _hash}
