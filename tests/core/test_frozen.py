import sys
from dataclasses import dataclass
from typing import Any

import pytest

from telemetry_forwarder.core.frozen import comparable, frozen


@frozen
class Point:
    x: int
    y: int = 0


@frozen
class Named(Point):
    name: str = ""

    @property
    def title(self) -> str:
        return self.name.title()


@comparable
class Pair:
    __slots__ = ("left", "right")

    def __init__(self, left: int, right: int) -> None:
        self.left = left
        self.right = right


def test_comparable_class_is_compared_hashed_and_shown_by_its_slots() -> None:
    assert Pair(1, 2) == Pair(1, 2)
    assert Pair(1, 2) != Pair(2, 1)
    assert hash(Pair(1, 2)) == hash(Pair(1, 2))
    assert repr(Pair(1, 2)) == "Pair(left=1, right=2)"


def test_fields_are_set_by_position_by_name_or_by_default() -> None:
    assert (Point(1).x, Point(1).y, Point(x=1, y=2).y, Named(1, name="a").title) == (1, 0, 2, "A")


def test_instances_of_one_class_with_equal_fields_are_equal() -> None:
    assert Point(1, 0) == Point(1)
    assert hash(Point(1, 0)) == hash(Point(1))
    assert Point(1) != Point(2)
    assert Named(1) != Point(1)


def test_fields_of_the_base_come_first_and_are_matched_by_position() -> None:
    match Named(1, 2, "a"):
        case Named(x, y, name):
            assert (x, y, name) == (1, 2, "a")


def test_repr_contains_every_field() -> None:
    assert repr(Named(1, name="a")) == "Named(x=1, y=0, name='a')"


def test_fields_cannot_be_changed_or_deleted() -> None:
    point: Any = Point(1)

    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        point.x = 2
    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        del point.x


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})]
)
def test_invalid_arguments_are_refused(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    make: Any = Point

    with pytest.raises(TypeError, match=r"Point\(x, y\)"):
        make(*values, **named)


def test_dataclasses_still_compile_code_for_each_class() -> None:
    """If this fails, `dataclasses` can replace the module."""
    compiled = []
    is_watched = [True]
    sys.addaudithook(lambda name, _: compiled.append(name) if is_watched[0] and name == "compile" else None)

    frozen(type("Frozen", (), {"__annotations__": {"x": int}}))
    compiled_by_frozen = len(compiled)
    dataclass(frozen=True)(type("Dataclass", (), {"__annotations__": {"x": int}}))
    is_watched[0] = False

    assert (compiled_by_frozen, len(compiled) > 0) == (0, True)
