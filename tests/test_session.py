import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.receiver.messages import InvokeEvent, ShutdownEvent
from telemetry_forwarder.session import Session, open_port
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.startup.bundle import FILE_NAME
from telemetry_forwarder.startup.warm_up import WarmUp
from telemetry_forwarder.worker.thread import Worker
from tests.support import broken
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.paths import PRODUCT
from tests.support.subprocess_coverage import isolated_python
from tests.support.thread_limit import no_thread_starts

NOW_MS = 1_790_000_000_000
# Before an invocation's deadline, with 128 MB of memory.
MARGIN_S = 0.1 + 0.02 * 1_769 / 128
FAR_MS = 4_000_000_000_000
SHUTDOWN = {"eventType": "SHUTDOWN", "deadlineMs": FAR_MS, "shutdownReason": "spindown"}

START = """
import sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.session import Session
Session({}, b"{}", Clock()).start().is_warm.wait()
"""

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
    for session in made:
        session.close()


def subscription(session: Session) -> Any:
    return json.loads(session.subscription("2025-01-29"))


def port_of(session: Session) -> int:
    body = subscription(session)["destination"]
    return int(body.get("port") or urlsplit(body["URI"]).port)


def thread_names(*, since: list[threading.Thread]) -> set[str]:
    return {thread.name for thread in set(threading.enumerate()) - set(since)}


def process(session: Session, event: Any) -> None:
    session.process(json.dumps(event).encode())


def test_subscription_covers_all_types_with_the_shortest_buffering(make: Make) -> None:
    body = subscription(make())

    uri = body["destination"]["URI"]
    assert re.fullmatch(r"http://sandbox\.localdomain:[1-9][0-9]+/[0-9a-f]{32}", uri)
    assert body == {
        "schemaVersion": "2025-01-29",
        "destination": {"protocol": "HTTP", "URI": uri},
        "types": ["platform", "function", "extension"],
        "buffering": {"maxItems": 10_000, "maxBytes": 1_048_576, "timeoutMs": 25},
    }


def test_path_of_the_subscription_is_that_of_this_process_for_every_schema(make: Make) -> None:
    first, second = make(), make()

    uris = [subscription(session)["destination"]["URI"] for session in (first, first, second)]

    paths = [urlsplit(uri).path for uri in uris]
    assert paths[0] == paths[1] != paths[2]


def test_exception_that_ends_a_thread_is_one_of_our_lines(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    make().start()
    thread = threading.Thread(target=broken.no_memory, name="check")

    thread.start()
    thread.join()

    assert "[telemetry-forwarder] ERROR check has failed: MemoryError: \n" in capfd.readouterr().err


def test_posts_to_other_paths_are_refused_once_lambda_has_posted(make: Make) -> None:
    session = make()
    target = urlsplit(subscription(session)["destination"]["URI"])
    session.start()

    with socket.create_connection(("127.0.0.1", port_of(session)), timeout=10) as client:
        statuses = []
        for path in ("/", target.path, "/"):
            client.sendall(f"POST {path} HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]".encode())
            statuses.append(client.recv(100).split()[1])

    assert statuses == [b"200", b"200", b"404"]


def test_subscription_follows_the_settings(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    session = make(
        LISTENER="tcp",
        PORT=str(port),
        TYPES="function,platform",
        BUFFER_MAX_ITEMS="1000",
        BUFFER_MAX_BYTES="262144",
        BUFFER_TIMEOUT_MS="30000",
    )

    assert subscription(session) == {
        "schemaVersion": "2025-01-29",
        "destination": {"protocol": "TCP", "port": port},
        "types": ["platform", "function"],
        "buffering": {"maxItems": 1_000, "maxBytes": 262_144, "timeoutMs": 30_000},
    }


def test_invalid_settings_are_logged(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    make(PORT="http", LISTENER="udp")

    assert capfd.readouterr().err == (
        "[telemetry-forwarder] WARN TELEMETRY_FORWARDER_LISTENER: 'udp' is not one of http, tcp;"
        " using http instead\n"
        "[telemetry-forwarder] WARN TELEMETRY_FORWARDER_PORT: 'http' is not a port from 0 to 65535"
        " other than Lambda's own 9001; using 0 instead\n"
    )


def test_log_level_applies_to_the_first_line(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    make(PORT="http", LOG_LEVEL="error")

    assert capfd.readouterr().err == ""


def test_port_accepts_telemetry_before_the_threads_start(make: Make) -> None:
    session = make()
    post = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]"

    with socket.create_connection(("127.0.0.1", port_of(session)), timeout=10) as client:
        client.sendall(post)
        session.start()

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
def test_worker_is_warm_before_next_if_it_has_less_cpu_later(
    make: Make, warm_up: str, memory_mb: int, is_warm_first: bool
) -> None:
    session = make(WARM_UP=warm_up, memory_mb=memory_mb)
    session.has_telemetry = True

    before = threading.enumerate()
    session.warm_up()

    assert bool(thread_names(since=before)) is is_warm_first
    if is_warm_first:
        assert session.start().is_warm.is_set()


@pytest.mark.parametrize("initialization_type", ["provisioned-concurrency", "snap-start"])
def test_worker_is_warm_before_next_if_no_request_waits_for_the_init(make: Make, initialization_type: str) -> None:
    session = make(memory_mb=10_240, initialization_type=initialization_type)
    session.has_telemetry = True

    before = threading.enumerate()
    session.warm_up()

    assert session.start().is_warm.is_set()
    assert thread_names(since=before) == {"listener", "worker"}


def test_without_telemetry_there_is_no_warm_up(make: Make) -> None:
    session = make(WARM_UP="init")

    before = threading.enumerate()
    session.warm_up()

    assert thread_names(since=before) == set()


def test_without_telemetry_an_event_does_not_wait_for_the_warm_up(make: Make) -> None:
    """On a busy machine the imports take longer than an invocation."""
    session = make(kind=NeverWarm)

    process(session, {"eventType": "INVOKE", "deadlineMs": FAR_MS, "requestId": "id"})
    process(session, SHUTDOWN)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(session)))


def test_deadline_is_read_by_lambdas_clock_if_the_wall_clock_is_known_to_be_slow(make: Make) -> None:
    clock = FakeClock(unix_ns=NOW_MS * 1_000_000)
    clock.slow_by_ns = 60_000_000_000
    session = make(clock, kind=NeverWarm)
    assert isinstance(session, NeverWarm)

    process(session, {"eventType": "INVOKE", "deadlineMs": NOW_MS + 63_000})

    [event] = session.workers[0].inbox.take()
    assert isinstance(event, InvokeEvent)
    assert event.release_by.left_s() == pytest.approx(3.0 - MARGIN_S)


class NeverWarm(Session):
    """A session whose workers are never scheduled."""

    def __init__(self, environ: Mapping[str, str], registration: bytes, clock: Clock) -> None:
        super().__init__(environ, registration, clock)
        self.workers: list[Worker] = []

    def start(self) -> Worker:
        self.workers.append(Worker(Settings({}), {}, b"{}", clock=Clock(), log=self.log, warm_up=WarmUp({})))
        return self.workers[-1]


def test_start_starts_the_threads_once(make: Make) -> None:
    session = make()

    assert session.start() is session.start()


@pytest.mark.parametrize("name", ["listener", "worker"])
def test_thread_that_cannot_start_is_started_with_a_later_event(make: Make, name: str) -> None:
    session = make()
    before = threading.enumerate()

    with no_thread_starts(name):
        for _ in range(2):
            with pytest.raises(ThreadStartError, match=f"{name}: can't start new thread"):
                process(session, {"eventType": "INVOKE", "deadlineMs": FAR_MS, "requestId": "id"})

    session.start().is_warm.wait()
    assert thread_names(since=before) >= {"listener", "worker"}


def test_no_post_is_accepted_before_the_worker_runs(make: Make) -> None:
    session = make()
    session.has_telemetry = True
    post = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]"
    before = threading.enumerate()

    with socket.create_connection(("127.0.0.1", port_of(session)), timeout=10) as client:
        client.sendall(post)
        with no_thread_starts("worker"), pytest.raises(ThreadStartError):
            session.start()
        assert not {"listener", "worker"} & thread_names(since=before)
        session.start()
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_warm_up_that_cannot_start_is_started_with_a_later_event(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make()

    with monkeypatch.context() as full:
        full.setattr("_thread.start_new_thread", broken.no_memory)
        with pytest.raises(ThreadStartError, match="warm-up: no memory for a thread"):
            session.start()

    assert session.start().is_warm.wait(60)


def test_shutdown_closes_the_port(make: Make) -> None:
    session = make()

    process(session, {"eventType": "INVOKE", "deadlineMs": FAR_MS, "requestId": "id"})
    process(session, SHUTDOWN)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(session)))


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"eventType": "TOMORROW", "deadlineMs": "soon"},
        {"eventType": None},
        [],
        None,
        {"eventType": "INVOKE"},
        {"eventType": "INVOKE", "deadlineMs": "soon", "requestId": 5, "tracing": "Root=1", "invokedFunctionArn": []},
        {"eventType": "INVOKE", "deadlineMs": 0, "tracing": {"value": {}}},
        {"eventType": "INVOKE", "deadlineMs": -1.5e300},
        {"eventType": "INVOKE", "deadlineMs": None, "tracing": None},
    ],
)
def test_event_of_any_shape_is_processed(make: Make, event: object) -> None:
    session = make()

    process(session, event)
    process(session, {"eventType": "SHUTDOWN"})


def test_event_is_not_held_beyond_its_deadline(make: Make) -> None:
    clock = FakeClock(unix_ns=NOW_MS * 1_000_000)
    # The worker holds an invocation until its end is reported, which never happens here.
    session = make(clock, FLUSH="end")
    session.has_telemetry = True

    process(session, {"eventType": "INVOKE", "deadlineMs": NOW_MS + 60, "requestId": "id"})
    process(session, {"eventType": "SHUTDOWN", "deadlineMs": NOW_MS + 60})


@pytest.mark.parametrize(
    ("type_", "ahead_s", "left_s"),
    [
        ("INVOKE", 3.0, 3.0),
        ("INVOKE", 900.0, 900.0),
        ("INVOKE", 901.0, 900.0),
        ("INVOKE", 34_560_000.0, 900.0),
        ("INVOKE", 1e300, 900.0),
        ("INVOKE", 0.25, 0.25),
        ("INVOKE", 0.0, 1.0),
        ("INVOKE", -34_560_000.0, 1.0),
        ("INVOKE", -1e300, 1.0),
        ("INVOKE", None, 1.0),
        ("SHUTDOWN", 2.0, 2.0),
        ("SHUTDOWN", 0.0625, 0.0625),
        ("SHUTDOWN", 2.25, 2.0),
        ("SHUTDOWN", 3_600.0, 2.0),
        ("SHUTDOWN", 1e300, 2.0),
        ("SHUTDOWN", -0.25, 1.5),
        ("SHUTDOWN", -34_560_000.0, 1.5),
        ("SHUTDOWN", None, 1.5),
    ],
)
def test_deadline_is_believed_within_the_limits_of_lambda(
    make: Make, type_: str, ahead_s: float | None, left_s: float
) -> None:
    session = make(FakeClock(unix_ns=NOW_MS * 1_000_000), kind=NeverWarm)
    assert isinstance(session, NeverWarm)

    process(session, {"eventType": type_, "deadlineMs": None if ahead_s is None else NOW_MS + ahead_s * 1_000})

    [event] = session.workers[0].inbox.take()
    if isinstance(event, InvokeEvent):
        # At most a third of the time.
        assert event.release_by.left_s() == pytest.approx(max(left_s * 2 / 3, left_s - MARGIN_S))
    else:
        assert isinstance(event, ShutdownEvent)
        assert event.deadline.left_s() == left_s


@pytest.mark.parametrize("event", [b"nonsense", b"", b'{"eventType":"INVOKE","requestId":"cu'])
def test_event_that_is_not_json_is_ignored(make: Make, event: bytes) -> None:
    session = make(kind=NeverWarm)
    assert isinstance(session, NeverWarm)

    session.process(event)

    assert session.workers == []


@pytest.mark.parametrize("number", [b"9" * 400, b"-" + b"9" * 400, b"NaN", b"Infinity"])
def test_event_with_a_number_or_text_beyond_the_standard_is_read(make: Make, number: bytes) -> None:
    session = make(kind=NeverWarm)
    assert isinstance(session, NeverWarm)

    session.process(b'{"eventType":"INVOKE","deadlineMs":%s,"requestId":"\\ud800\xff","x":NaN}' % number)

    (event,) = session.workers[0].inbox.take()
    assert isinstance(event, InvokeEvent)
    assert event.request_id == "?\\xff"


def test_event_is_parsed_without_orjson(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orjson", None)

    make().process(b'{"eventType": "TOMORROW"}')
    with pytest.raises(ValueError, match="Expecting value"):
        make().process(b"nonsense")


def test_open_port_accepts_connections_before_they_are_served(captured: CapturedLog) -> None:
    server = open_port(0, captured.diagnostics(FakeClock()))

    with socket.create_connection(("127.0.0.1", server.getsockname()[1])) as client:
        client.sendall(b"posted early")
    server.close()

    assert captured.lines == []


@pytest.mark.parametrize(
    ("bundle", "problem"),
    [
        (b"damaged", "IncompatibleBundleError: written for another Python, or damaged"),
        (None, "FileNotFoundError: [Errno 2] No such file or directory: '{lib}/warm-up.bundle'"),
    ],
)
def test_bundle_that_cannot_be_used_is_logged_if_libraries_are_missing(
    bundle: bytes | None, problem: str, tmp_path: Path
) -> None:
    shutil.copytree(PRODUCT, tmp_path / "telemetry_forwarder", ignore=shutil.ignore_patterns("__pycache__"))
    # As in the layer, where the folder has only the C module, and the rest is in the bundle.
    (tmp_path / "orjson").mkdir()
    if bundle is not None:
        (tmp_path / FILE_NAME).write_bytes(bundle)

    command = isolated_python(START, str(tmp_path))
    output = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True, timeout=60).stderr

    assert output.splitlines() == [
        f"[telemetry-forwarder] WARN the warm-up bundle cannot be used: {problem.format(lib=tmp_path)}",
        "[telemetry-forwarder] ERROR forwarding stopped: ModuleNotFoundError: No module named 'opentelemetry';"
        " invocations continue without it",
    ]


def test_requested_port_is_opened(captured: CapturedLog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

    server = open_port(port, captured.diagnostics(FakeClock()))

    assert (server.getsockname(), captured.lines) == (("0.0.0.0", port), [])
    server.close()


def test_port_of_an_earlier_process_is_opened_at_once(captured: CapturedLog) -> None:
    first = open_port(0, captured.diagnostics(FakeClock()))
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        # Closed by us first, so that the kernel remembers it on our side.
        accepted = socket.socket(fileno=first._accept()[0])  # type: ignore[attr-defined]
        accepted.close()
        first.close()
        assert client.recv(1) == b""

    second = open_port(port, captured.diagnostics(FakeClock()))

    assert (second.getsockname()[1], captured.lines) == (port, [])
    second.close()


def test_port_that_is_in_use_is_a_warning_and_another_port(captured: CapturedLog) -> None:
    first = open_port(0, captured.diagnostics(FakeClock()))
    port = first.getsockname()[1]

    second = open_port(port, captured.diagnostics(FakeClock()))

    assert second.getsockname()[1] not in (0, port)
    assert captured.lines == [
        f"WARN TELEMETRY_FORWARDER_PORT: port {port} is not available (Address already in use);"
        " using any free port instead"
    ]
    first.close()
    second.close()
