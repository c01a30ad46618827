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


def test_a_class_with_its_own_init_is_compared_and_shown_by_its_slots() -> None:
    assert Pair(1, 2) == Pair(1, 2)
    assert Pair(1, 2) != Pair(2, 1)
    assert hash(Pair(1, 2)) == hash(Pair(1, 2))
    assert repr(Pair(1, 2)) == "Pair(left=1, right=2)"


def test_values_are_given_by_position_by_name_or_by_default() -> None:
    assert (Point(1).x, Point(1).y, Point(x=1, y=2).y, Named(1, name="a").title) == (1, 0, 2, "A")


def test_values_of_the_same_class_that_say_the_same_are_equal() -> None:
    assert Point(1, 0) == Point(1)
    assert hash(Point(1, 0)) == hash(Point(1))
    assert Point(1) != Point(2)
    assert Named(1) != Point(1)


def test_fields_of_the_base_come_first_and_are_matched_by_position() -> None:
    match Named(1, 2, "a"):
        case Named(x, y, name):
            assert (x, y, name) == (1, 2, "a")


def test_it_shows_what_it_says() -> None:
    assert repr(Named(1, name="a")) == "Named(x=1, y=0, name='a')"


def test_nothing_of_it_can_be_changed() -> None:
    point: Any = Point(1)

    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        point.x = 2
    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        del point.x


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})]
)
def test_values_that_do_not_fit_are_refused(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    make: Any = Point

    with pytest.raises(TypeError, match=r"Point\(x, y\)"):
        make(*values, **named)


def test_dataclasses_still_compile_each_class_anew() -> None:
    """When this fails, the reason for `data` is gone, and the module can go."""
    compiled = []
    is_watched = [True]
    sys.addaudithook(lambda name, _: compiled.append(name) if is_watched[0] and name == "compile" else None)

    frozen(type("Ours", (), {"__annotations__": {"x": int}}))
    by_ours = len(compiled)
    dataclass(frozen=True)(type("Theirs", (), {"__annotations__": {"x": int}}))
    is_watched[0] = False

    assert (by_ours, len(compiled) > 0) == (0, True)
