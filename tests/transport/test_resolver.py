import socket
import threading
from typing import Any

import pytest

from telemetry_forwarder.transport.attempt import TimeIsUpError, UnreachableError
from telemetry_forwarder.transport.resolver import Resolver
from tests.support.requests import new_attempt

ADDRESS = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))


class ScriptedResolver:
    """Answers when it is told to. Numbers it refuses, as the system's does when it is asked for numbers."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, flags: int) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        self.asked.append(host)
        self.may_answer.wait()
        if host == "wrong":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ADDRESS]


def test_numbers_are_addresses_already() -> None:
    assert [address for *_, address in Resolver().addresses("127.0.0.1", 80, new_attempt())] == [
        ("127.0.0.1", 80)
    ]
    assert [address[0] for *_, address in Resolver().addresses("::1", 80, new_attempt())] == ["::1"]


def test_names_of_the_system_are_known() -> None:
    found = {address[0] for *_, address in Resolver().addresses("localhost", 80, new_attempt())}

    assert found & {"127.0.0.1", "::1"}


def test_a_resolver_that_hangs_is_left_behind() -> None:
    resolver = ScriptedResolver()
    names = Resolver(resolver)

    with pytest.raises(TimeIsUpError):
        names.addresses("slow", 80, new_attempt(0.05))

    resolver.may_answer.set()


def test_a_name_is_asked_for_once_at_a_time_and_the_answer_serves_all() -> None:
    resolver = ScriptedResolver()
    names = Resolver(resolver)
    for _ in range(3):
        with pytest.raises(TimeIsUpError):
            names.addresses("slow", 80, new_attempt(0.01))

    resolver.may_answer.set()

    assert names.addresses("slow", 80, new_attempt()) == [ADDRESS]
    assert len(resolver.asked) <= 2


def test_unknown_name_is_no_connection() -> None:
    resolver = ScriptedResolver()
    resolver.may_answer.set()

    with pytest.raises(UnreachableError, match="wrong: Name or service not known"):
        Resolver(resolver).addresses("wrong", 80, new_attempt())


def test_an_answer_is_not_kept_for_ever() -> None:
    resolver = ScriptedResolver()
    resolver.may_answer.set()
    names = Resolver(resolver)

    names.addresses("a", 80, new_attempt())
    names.addresses("a", 80, new_attempt())

    assert resolver.asked == ["a", "a"]
