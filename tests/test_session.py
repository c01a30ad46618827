import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.session import Session
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.startup.warm_up import WarmUp
from telemetry_forwarder.worker.thread import Worker
from tests.support.fake_clock import FakeClock

NOW_MS = 1_790_000_000_000
FAR_MS = 4_000_000_000_000
SHUTDOWN = {"eventType": "SHUTDOWN", "deadlineMs": FAR_MS, "shutdownReason": "spindown"}

Make = Callable[..., Session]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Session] = []

    def make(
        clock: Clock | None = None,
        memory_mb: int = 128,
        initialization_type: str = "on-demand",
        kind: type[Session] = Session,
        **settings: str,
    ) -> Session:
        given = {"ENDPOINT": "http://127.0.0.1:1", "SPOOL_DIR": str(tmp_path)} | settings
        environ = {PREFIX + name: value for name, value in given.items()}
        environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = str(memory_mb)
        environ["AWS_LAMBDA_INITIALIZATION_TYPE"] = initialization_type
        made.append(kind(environ, b"{}", clock or Clock()))
        return made[-1]

    yield make
    for forwarding in made:
        forwarding.close()


def subscription(forwarding: Session) -> Any:
    return json.loads(forwarding.subscription("2025-01-29"))


def port_of(forwarding: Session) -> int:
    said = subscription(forwarding)["destination"]
    return int(said.get("port") or said["URI"].rpartition(":")[2].rstrip("/"))


def follow(forwarding: Session, event: Any) -> None:
    forwarding.follow(json.dumps(event).encode())


def test_subscription_is_for_everything_as_soon_as_can_be(make: Make) -> None:
    said = subscription(make())

    uri = said["destination"]["URI"]
    port = int(uri.removeprefix("http://sandbox.localdomain:").removesuffix("/"))
    assert port > 0
    assert said == {
        "schemaVersion": "2025-01-29",
        "destination": {"protocol": "HTTP", "URI": uri},
        "types": ["platform", "function", "extension"],
        "buffering": {"maxItems": 10_000, "maxBytes": 1_048_576, "timeoutMs": 25},
    }


def test_subscription_is_as_the_settings_say(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    forwarding = make(
        LISTENER="tcp",
        PORT=str(port),
        TYPES="function,platform",
        BUFFER_MAX_ITEMS="1000",
        BUFFER_MAX_BYTES="262144",
        BUFFER_TIMEOUT_MS="30000",
    )

    assert subscription(forwarding) == {
        "schemaVersion": "2025-01-29",
        "destination": {"protocol": "TCP", "port": port},
        "types": ["platform", "function"],
        "buffering": {"maxItems": 1_000, "maxBytes": 262_144, "timeoutMs": 30_000},
    }


def test_what_is_wrong_with_the_settings_is_said(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    make(PORT="http", LISTENER="udp")

    assert capfd.readouterr().err == (
        "[telemetry-forwarder] WARN TELEMETRY_FORWARDER_LISTENER: 'udp' is none of http, tcp;"
        " taken instead: http\n"
        "[telemetry-forwarder] WARN TELEMETRY_FORWARDER_PORT: 'http' is no port from 0 to 65535, or is"
        " Lambda's own 9001; taken instead: 0\n"
    )


def test_log_level_counts_from_the_first_line(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    make(PORT="http", LOG_LEVEL="error")

    assert capfd.readouterr().err == ""


def test_port_takes_telemetry_before_anything_is_started(make: Make) -> None:
    forwarding = make()
    post = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]"

    with socket.create_connection(("127.0.0.1", port_of(forwarding)), timeout=10) as client:
        client.sendall(post)
        forwarding.start()

        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("warm_up", "memory_mb", "is_warm_first"),
    [
        ("auto", 128, True),
        ("auto", 1_768, True),
        ("auto", 1_769, False),
        ("init", 10_240, True),
        ("background", 128, False),
    ],
)
def test_worker_is_warm_before_next_where_cpu_is_scarce_later(
    make: Make, warm_up: str, memory_mb: int, is_warm_first: bool
) -> None:
    forwarding = make(WARM_UP=warm_up, memory_mb=memory_mb)
    forwarding.has_telemetry = True

    forwarding.warm_up()

    assert forwarding.is_started is is_warm_first
    if is_warm_first:
        assert forwarding.start().is_warm.is_set()


@pytest.mark.parametrize("initialization_type", ["provisioned-concurrency", "snap-start"])
def test_worker_is_warm_before_next_where_nobody_waits_for_the_init(
    make: Make, initialization_type: str
) -> None:
    forwarding = make(memory_mb=10_240, initialization_type=initialization_type)
    forwarding.has_telemetry = True

    forwarding.warm_up()

    assert forwarding.is_started


def test_without_telemetry_there_is_nothing_to_warm_up_for(make: Make) -> None:
    forwarding = make(WARM_UP="init")

    forwarding.warm_up()

    assert not forwarding.is_started


def test_without_telemetry_nobody_waits_for_a_worker_that_is_not_warm(make: Make) -> None:
    """On a busy machine its imports take longer than an invocation has."""
    forwarding = make(kind=NeverWarm)

    follow(forwarding, {"eventType": "INVOKE", "deadlineMs": FAR_MS, "requestId": "id"})
    follow(forwarding, SHUTDOWN)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(forwarding)))


class NeverWarm(Session):
    """One whose worker gets no CPU at all."""

    def start(self) -> Worker:
        return Worker(Settings({}), {}, b"{}", Clock(), self.log, WarmUp())


def test_threads_are_started_once(make: Make) -> None:
    forwarding = make()

    assert forwarding.start() is forwarding.start()


def test_invocation_and_shutdown_are_followed_to_their_ends(make: Make) -> None:
    forwarding = make()

    follow(forwarding, {"eventType": "INVOKE", "deadlineMs": FAR_MS, "requestId": "id"})
    follow(forwarding, SHUTDOWN)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(forwarding)))


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"eventType": "TOMORROW", "deadlineMs": "soon"},
        {"eventType": None},
        [],
        None,
        {"eventType": "INVOKE"},
        {
            "eventType": "INVOKE",
            "deadlineMs": "soon",
            "requestId": 5,
            "tracing": "Root=1",
            "invokedFunctionArn": [],
        },
        {"eventType": "INVOKE", "deadlineMs": 0, "tracing": {"value": {}}},
        {"eventType": "INVOKE", "deadlineMs": -1.5e300},
        {"eventType": "INVOKE", "deadlineMs": None, "tracing": None},
    ],
)
def test_event_of_any_shape_is_followed(make: Make, event: object) -> None:
    forwarding = make()

    follow(forwarding, event)
    follow(forwarding, {"eventType": "SHUTDOWN"})


def test_nobody_is_waited_for_beyond_the_deadline(make: Make) -> None:
    clock = FakeClock(unix_ns=NOW_MS * 1_000_000)
    # The worker holds an invocation until its end is told, which here it never is.
    forwarding = make(clock, FLUSH="end")
    forwarding.has_telemetry = True

    follow(forwarding, {"eventType": "INVOKE", "deadlineMs": NOW_MS + 60, "requestId": "id"})
    follow(forwarding, {"eventType": "SHUTDOWN", "deadlineMs": NOW_MS + 60})


@pytest.mark.parametrize("deadline_ms", [10**18, 1e300])
def test_deadline_is_never_further_away_than_an_invocation_can_last(make: Make, deadline_ms: float) -> None:
    follow(make(), {"eventType": "INVOKE", "deadlineMs": deadline_ms, "requestId": "id"})


def test_event_that_is_no_json_is_an_error(make: Make) -> None:
    with pytest.raises(ValueError, match="line 1 column 1"):
        make().follow(b"nonsense")
