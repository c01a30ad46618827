import socket
import threading
from typing import Any

import pytest

from telemetry_forwarder.transport.outcome import FailureKind
from telemetry_forwarder.transport.resolver import Resolver
from tests.support.requests import new_attempt, raises
from tests.support.thread_limit import no_thread_starts

ADDRESS = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))


class ScriptedResolver:
    """Returns when *may_return* is set. Names are unknown to it if only numbers are wanted, as to the system's."""

    def __init__(self) -> None:
        self.may_return = threading.Event()
        self.looked_up: list[str] = []

    def __call__(self, host: str, port: int, flags: int) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        self.looked_up.append(host)
        self.may_return.wait()
        if host == "wrong":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ADDRESS]


def test_numeric_addresses_are_not_looked_up() -> None:
    assert [address for *_, address in Resolver().addresses("127.0.0.1", 80, new_attempt())] == [("127.0.0.1", 80)]
    assert [address[0] for *_, address in Resolver().addresses("::1", 80, new_attempt())] == ["::1"]


def test_localhost_is_resolved() -> None:
    found = {address[0] for *_, address in Resolver().addresses("localhost", 80, new_attempt())}

    assert found & {"127.0.0.1", "::1"}


def test_lookup_that_hangs_ends_at_the_deadline() -> None:
    resolver = ScriptedResolver()
    names = Resolver(resolver)

    with raises(FailureKind.TIMED_OUT):
        names.addresses("slow", 80, new_attempt(0.05))

    resolver.may_return.set()


def test_concurrent_lookups_of_a_name_share_one_result() -> None:
    resolver = ScriptedResolver()
    names = Resolver(resolver)
    for _ in range(3):
        with raises(FailureKind.TIMED_OUT):
            names.addresses("slow", 80, new_attempt(0.01))

    resolver.may_return.set()

    assert names.addresses("slow", 80, new_attempt()) == [ADDRESS]
    assert len(resolver.looked_up) <= 2


def test_unknown_name_is_unreachable() -> None:
    resolver = ScriptedResolver()
    resolver.may_return.set()

    with raises(FailureKind.UNREACHABLE, match="wrong: Name or service not known"):
        Resolver(resolver).addresses("wrong", 80, new_attempt())


def test_results_are_not_cached() -> None:
    resolver = ScriptedResolver()
    resolver.may_return.set()
    names = Resolver(resolver)

    names.addresses("a", 80, new_attempt())
    names.addresses("a", 80, new_attempt())

    assert resolver.looked_up == ["a", "a"]


def test_lookup_without_a_thread_is_a_failure_and_the_next_one_is_new() -> None:
    resolver = ScriptedResolver()
    resolver.may_return.set()
    names = Resolver(resolver)

    with no_thread_starts(), raises(FailureKind.UNREACHABLE, match="a: can't start new thread"):
        names.addresses("a", 80, new_attempt())

    assert names.addresses("a", 80, new_attempt()) == [ADDRESS]


@pytest.mark.parametrize(
    ("error", "reason"), [(MemoryError(), "not found"), (UnicodeError("label too long"), "label too long")]
)
def test_lookup_that_fails_in_any_way_is_a_failure_and_the_next_one_is_new(error: Exception, reason: str) -> None:
    failures = [error]

    def resolve(host: str, port: int, flags: int) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        if failures:
            raise failures.pop()
        return [ADDRESS]

    names = Resolver(resolve)

    with raises(FailureKind.UNREACHABLE, match=f"a: {reason}"):
        names.addresses("a", 80, new_attempt())
    assert names.addresses("a", 80, new_attempt()) == [ADDRESS]


V4 = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", 80)) for number in range(3)]
V6 = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2001:db8::{number}", 80, 0, 0)) for number in range(2)]


@pytest.mark.parametrize(
    ("found", "ordered"),
    [
        ([*V6, *V4], [V6[0], V4[0], V6[1], V4[1], V4[2]]),
        ([*V4, *V6], [V4[0], V6[0], V4[1], V6[1], V4[2]]),
        (V4, V4),
        ([], []),
    ],
)
def test_families_take_turns(found: list[Any], ordered: list[Any]) -> None:
    assert Resolver(lambda *_: found).addresses("a", 80, new_attempt()) == ordered


def test_address_that_works_is_first_and_those_that_fail_are_last() -> None:
    names = Resolver(lambda *_: V4)
    server = ("a", 80)
    first, second, third = (address for *_, address in V4)

    names.avoid(server, first)
    assert names.addresses(*server, new_attempt()) == [V4[1], V4[2], V4[0]]
    names.avoid(server, second)
    assert names.addresses(*server, new_attempt()) == [V4[2], V4[0], V4[1]]
    names.prefer(server, second)
    assert names.addresses(*server, new_attempt()) == [V4[1], V4[2], V4[0]]
    names.avoid(server, second)
    names.avoid(server, third)
    assert names.addresses(*server, new_attempt()) == [V4[0], V4[1], V4[2]]
    assert names.addresses("b", 80, new_attempt()) == V4


def test_number_of_addresses_that_are_remembered_is_limited() -> None:
    names = Resolver(lambda *_: V4)

    names.avoid(("a", 80), V4[0][4])
    for number in range(100):
        names.avoid(("a", 80), ("198.51.100.1", number))

    assert names.addresses("a", 80, new_attempt()) == V4
