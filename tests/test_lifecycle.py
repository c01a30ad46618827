import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.diagnostics import MARK
from telemetry_forwarder.lambda_api import LambdaApi
from telemetry_forwarder.lifecycle import Lifecycle
from telemetry_forwarder.settings import PREFIX
from tests.support import broken
from tests.support.fake_clock import FakeClock
from tests.support.fake_lambda import IDENTIFIER, NEXT, REGISTER, SUBSCRIBE, FakeLambda, Response, invoke, shutdown
from tests.support.paths import PROJECT
from tests.support.subprocess_coverage import isolated_python
from tests.support.thread_limit import no_thread_starts
from tests.support.threads import join

STOPPED = "ERROR forwarding stopped: {}; invocations continue without it"
AGAIN = "WARN Lambda responded with {}; trying again"
UNREACHABLE = Response(raw=b"", closes=True)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        PREFIX + "ENDPOINT": "http://127.0.0.1:1",
        PREFIX + "SPOOL_DIR": str(tmp_path),
        PREFIX + "LOG_LEVEL": "warn",
        # No end of an invocation is reported here, so none may be waited for.
        PREFIX + "FLUSH": "shutdown",
    }


Run = Callable[..., int]


@pytest.fixture
def run(runtime: FakeLambda, environ: dict[str, str]) -> Run:
    """Return a function that runs the extension under *runtime* and returns its exit code."""

    def run(variables: Mapping[str, str] | None = None, clock: Clock | None = None) -> int:
        api = LambdaApi(runtime.runtime_api, "telemetry-forwarder")
        merged = variables if isinstance(variables, broken.Environ) else environ | dict(variables or {})
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        code = Lifecycle(api, merged, clock or Clock()).run()
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        api.close()
        return code

    return run


Lines = Callable[[], list[str]]


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    """Return a function that returns the log lines so far, without the mark. That nothing listens there is left out."""

    def lines() -> list[str]:
        written = capfd.readouterr().err.splitlines()
        assert [line for line in written if not line.startswith(MARK)] == []
        own = [line.removeprefix(f"{MARK} ") for line in written]
        return [line for line in own if not line.startswith("WARN http://127.0.0.1:1 does not accept telemetry")]

    return lines


def test_process_registers_subscribes_and_calls_next_until_shutdown(
    runtime: FakeLambda, run: Run, lines: Lines
) -> None:
    runtime.respond(NEXT, invoke("1"), invoke("2"), shutdown())

    assert run() == 0

    assert runtime.endpoints == [REGISTER, SUBSCRIBE, NEXT, NEXT, NEXT]
    assert runtime.calls[0].body == b'{"events":["INVOKE","SHUTDOWN"]}'
    assert {call.headers["lambda-extension-identifier"] for call in runtime.calls[1:]} == {IDENTIFIER}
    assert lines() == []


def test_invocation_is_not_waited_for_once_a_signal_has_arrived(runtime: FakeLambda, environ: dict[str, str]) -> None:
    runtime.respond(NEXT, invoke("1"), shutdown())
    api = LambdaApi(runtime.runtime_api, "telemetry-forwarder")
    api.wakeup, when_signalled = os.pipe()
    os.write(when_signalled, b"\x0f")
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    # Nothing reports the end of the invocation.
    code = Lifecycle(api, environ | {PREFIX + "FLUSH": "end"}, Clock()).run()

    signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    api.close()
    os.close(api.wakeup)
    os.close(when_signalled)
    assert (code, runtime.endpoints) == (0, [REGISTER, SUBSCRIBE, NEXT, NEXT])


def test_managed_instance_registers_for_shutdown_only(runtime: FakeLambda, run: Run) -> None:
    runtime.respond(NEXT, shutdown())

    assert run({"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}) == 0

    assert runtime.calls[0].body == b'{"events":["SHUTDOWN"]}'


def schemas(runtime: FakeLambda) -> list[str]:
    return [json.loads(call.body)["schemaVersion"] for call in runtime.calls if call.endpoint == SUBSCRIBE]


@pytest.mark.parametrize(
    ("statuses", "tried", "logged"),
    [
        ([200], ["2025-01-29"], []),
        ([400, 200], ["2025-01-29", "2022-12-13"], []),
        ([404, 200], ["2025-01-29", "2022-12-13"], []),
        ([202], ["2025-01-29"], ["INFO there is no Telemetry API here (a local emulator?); nothing will be forwarded"]),
        (
            [400, 202],
            ["2025-01-29", "2022-12-13"],
            ["INFO there is no Telemetry API here (a local emulator?); nothing will be forwarded"],
        ),
        (
            [400, 400],
            ["2025-01-29", "2022-12-13"],
            ["ERROR the Telemetry API responded with 400 to the subscription; nothing will be forwarded"],
        ),
        (
            [403],
            ["2025-01-29"],
            ["ERROR the Telemetry API responded with 403 to the subscription; nothing will be forwarded"],
        ),
        ([500, 200], ["2025-01-29"] * 2, [AGAIN.format(500)]),
        ([503, 503, 200], ["2025-01-29"] * 3, [AGAIN.format(503)] * 2),
        ([500, 400, 200], ["2025-01-29", "2025-01-29", "2022-12-13"], [AGAIN.format(500)]),
        (
            [500, 500, 500],
            ["2025-01-29"] * 3,
            [
                *[AGAIN.format(500)] * 2,
                "ERROR the Telemetry API responded with 500 to the subscription; nothing will be forwarded",
            ],
        ),
    ],
)
def test_subscription_tries_the_older_schema_and_tolerates_any_status(
    runtime: FakeLambda, run: Run, lines: Lines, statuses: list[int], tried: list[str], logged: list[str]
) -> None:
    runtime.respond(SUBSCRIBE, *map(Response, statuses))
    runtime.respond(NEXT, invoke(), shutdown())

    code = run({PREFIX + "LOG_LEVEL": "info"})

    subscription_lines = [line for line in lines() if "records received" not in line]
    assert (code, schemas(runtime), subscription_lines) == (0, tried, logged)
    assert runtime.endpoints[-2:] == [NEXT, NEXT]
    # Without telemetry nobody waits for the worker, which logs its totals at the end.
    join([thread for thread in threading.enumerate() if thread.name == "worker"])


def test_failed_subscription_stops_forwarding_but_not_the_invocations(
    runtime: FakeLambda, run: Run, lines: Lines
) -> None:
    runtime.respond(SUBSCRIBE, *[UNREACHABLE] * 4)
    runtime.respond(NEXT, invoke(), shutdown())

    assert run() == 0

    reason = f"PUT /2022-07-01/telemetry at {runtime.runtime_api}: closed without a response"
    again = f"WARN {reason}; trying again"
    assert lines() == [again, again, STOPPED.format(f"LambdaUnreachableError: {reason}")]
    assert runtime.endpoints[-2:] == [NEXT, NEXT]


def test_event_of_an_unknown_type_is_ignored(runtime: FakeLambda, run: Run, lines: Lines) -> None:
    runtime.respond(NEXT, Response(body=b'{"eventType":"TOMORROW"}'), invoke(), shutdown())

    assert run() == 0

    assert runtime.endpoints.count(NEXT) == 3
    assert lines() == []


UNREADABLE_EVENTS = [
    b"nonsense",
    b"",
    b"[]",
    b'{"eventType":"INVOKE","requestId":"cu',
    b'{"eventType":"INVOKE","deadlineMs":NaN}',
    b'{"eventType":"INVOKE","deadlineMs":-Infinity,"requestId":"\\ud800"}',
    b'{"eventType":"INVOKE","deadlineMs":1,"requestId":"\xff\xfe","tracing":{"value":"\\udfff"}}',
    b'{"eventType":"INVOKE","deadlineMs":' + b"9" * 400 + b',"requestId":"\x00"}',
    b'{"eventType":"INVOKE","deadlineMs":' + b"9" * 5_000 + b',"x":NaN}',
    b'{"eventType":"INVOKE","deadlineMs":1e999,"x":' + b"[" * 5_000 + b"}",
]


@pytest.mark.parametrize("event", UNREADABLE_EVENTS, ids=range(len(UNREADABLE_EVENTS)))
def test_unreadable_event_costs_nothing_but_its_own_fields(
    runtime: FakeLambda, run: Run, lines: Lines, event: bytes
) -> None:
    runtime.respond(NEXT, Response(body=event), invoke(), shutdown())

    assert run({PREFIX + "LOG_LEVEL": "info"}) == 0

    # The totals of a worker that has gone on until SHUTDOWN.
    (line,) = lines()
    assert line.startswith("INFO records received 0; ")
    assert runtime.endpoints.count(NEXT) == 3


@pytest.mark.parametrize("fields", [b'"deadlineMs":NaN', b'"shutdownReason":"\xff\\ud800"', b'"x":' + b"[" * 2_000])
def test_unreadable_shutdown_is_a_shutdown(runtime: FakeLambda, run: Run, lines: Lines, fields: bytes) -> None:
    runtime.respond(NEXT, Response(body=b'{"eventType":"SHUTDOWN",' + fields + b"}"))

    assert run({PREFIX + "LOG_LEVEL": "info"}) == 0

    (line,) = lines()
    assert line.startswith("INFO records received 0; ")


def test_shutdown_is_recognised_with_any_whitespace(runtime: FakeLambda, run: Run) -> None:
    runtime.respond(NEXT, Response(body=b'{\n  "eventType" : "SHUTDOWN"\n}'))

    assert run() == 0


@pytest.mark.parametrize("failure", [UNREACHABLE, Response(500, b"no"), Response(503, b"no")])
@pytest.mark.parametrize("times", [1, 2])
def test_register_that_fails_is_repeated(
    runtime: FakeLambda, run: Run, lines: Lines, failure: Response, times: int
) -> None:
    runtime.respond(REGISTER, *[failure] * times)
    runtime.respond(NEXT, shutdown())

    assert run(clock=FakeClock()) == 0

    assert runtime.endpoints == [*[REGISTER] * (times + 1), SUBSCRIBE, NEXT]
    assert [line.endswith("; trying again") for line in lines()] == [True] * times


def test_register_that_fails_three_times_is_exit_code_1(runtime: FakeLambda, run: Run, lines: Lines) -> None:
    runtime.respond(REGISTER, *[Response(500, b"no")] * 3)

    assert run(clock=FakeClock()) == 1

    assert lines()[-1] == "ERROR Lambda responded with 500 to register: no"
    assert runtime.endpoints == [REGISTER] * 3


@pytest.mark.parametrize("status", [400, 403])
def test_refused_register_is_one_line_and_exit_code_1(runtime: FakeLambda, run: Run, lines: Lines, status: int) -> None:
    runtime.respond(REGISTER, Response(status, b"no"))

    assert run() == 1

    assert lines() == [f"ERROR Lambda responded with {status} to register: no"]
    assert runtime.endpoints == [REGISTER]


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("events", [[], [invoke()]], ids=["first", "later"])
def test_refused_next_is_one_line_and_exit_code_1(
    runtime: FakeLambda, run: Run, lines: Lines, events: list[Response], status: int
) -> None:
    runtime.respond(NEXT, *events, Response(status, b"no"))

    assert run() == 1

    assert lines() == [f"ERROR Lambda responded with {status} to next: no"]
    assert runtime.endpoints.count(NEXT) == len(events) + 1


def test_runtime_api_that_is_unreachable_for_a_while_is_retried(runtime: FakeLambda, run: Run, lines: Lines) -> None:
    runtime.respond(SUBSCRIBE, Response(202))
    runtime.respond(NEXT, invoke(), *[UNREACHABLE] * 10, invoke(), shutdown())

    assert run(clock=FakeClock()) == 0

    address = runtime.runtime_api
    assert lines() == [f"WARN GET /2020-01-01/extension/event/next at {address}: closed without a response"]


def test_process_exits_if_the_runtime_api_stays_unreachable(runtime: FakeLambda, run: Run, lines: Lines) -> None:
    clock = FakeClock()
    began_s = clock.monotonic_s()
    runtime.respond(NEXT, *[UNREACHABLE] * 100)

    assert run(clock=clock) == 1

    assert 60.0 <= clock.monotonic_s() - began_s < 65.0
    assert lines()[-1].startswith("ERROR GET /2020-01-01/extension/event/next at ")


def test_totals_are_logged_before_the_process_gives_up(runtime: FakeLambda, run: Run, lines: Lines) -> None:
    runtime.respond(NEXT, *[UNREACHABLE] * 100)

    assert run({PREFIX + "LOG_LEVEL": "info"}, FakeClock()) == 1

    *_, reason, totals = lines()
    assert reason.startswith("ERROR GET /2020-01-01/extension/event/next at ")
    assert totals.startswith("INFO records received 0; ")


@pytest.mark.parametrize("error", [RuntimeError("broken on purpose"), MemoryError("broken on purpose")])
def test_totals_are_logged_if_a_step_of_the_main_thread_fails(
    runtime: FakeLambda, run: Run, lines: Lines, error: Exception
) -> None:
    runtime.respond(NEXT, invoke("1"), invoke("2"), shutdown())

    assert run({PREFIX + "LOG_LEVEL": "info"}, broken.MainThreadsClock(error)) == 0

    stopped, totals = lines()
    assert stopped == STOPPED.format(f"{type(error).__name__}: broken on purpose")
    assert totals.startswith("INFO records received 0; ")
    assert runtime.endpoints.count(NEXT) == 3


@pytest.mark.parametrize(
    "breaks_at", [pytest.param(PREFIX + "TYPES", id="settings"), pytest.param("AWS_LAMBDA_FUNCTION_NAME", id="worker")]
)
@pytest.mark.parametrize("warm_up", ["init", "background"])
def test_any_failure_is_one_line_and_invocations_go_on(
    runtime: FakeLambda, run: Run, lines: Lines, environ: dict[str, str], breaks_at: str, warm_up: str
) -> None:
    runtime.respond(NEXT, *[invoke(str(number)) for number in range(5)], shutdown())

    code = run(broken.Environ(breaks_at, **environ, **{PREFIX + "WARM_UP": warm_up}))

    assert (code, runtime.endpoints.count(NEXT)) == (0, 6)
    assert lines() == [STOPPED.format("RuntimeError: broken on purpose")]


@pytest.mark.parametrize("warm_up", ["init", "background"])
def test_thread_that_cannot_start_costs_one_line_and_forwarding_starts_later(
    runtime: FakeLambda, run: Run, lines: Lines, warm_up: str
) -> None:
    runtime.respond(NEXT, invoke("1"), invoke("2"), shutdown())

    with no_thread_starts("worker", times=1):
        assert run({PREFIX + "WARM_UP": warm_up, PREFIX + "LOG_LEVEL": "info"}) == 0

    first, *_, last = lines()
    assert first == "WARN worker: can't start new thread; forwarding starts with a later event"
    assert last.startswith("INFO records received 0; ")


def test_invalid_value_in_every_setting_is_one_line_each_and_invocations_go_on(
    runtime: FakeLambda, run: Run, lines: Lines
) -> None:
    settings = """TYPES SIGNALS BUFFER_MAX_ITEMS BUFFER_MAX_BYTES BUFFER_TIMEOUT_MS LISTENER PORT FLUSH
        FLUSH_BUDGET_MS WARM_UP PLATFORM_LOGS RAW_LINES JOIN_LINES TRACE_PARENT SPAN_START SAMPLING INBOX_BYTES
        OUTBOX_BYTES BATCH_BYTES BATCH_ITEMS SPOOL_BYTES LOG_LEVEL"""
    names = [PREFIX + name for name in settings.split()]
    # No telemetry: with the default flush, an invocation would be held until its end is reported.
    runtime.respond(SUBSCRIBE, Response(202))
    runtime.respond(NEXT, invoke("1"), invoke("2"), shutdown())

    earlier = set(threading.enumerate())

    assert run(dict.fromkeys(names, "nonsense %zz =")) == 0
    # Without telemetry nothing waits for the worker, which would log its totals into the next test.
    for thread in set(threading.enumerate()) - earlier:
        if thread.name == "worker":
            thread.join(60)

    warnings = [line for line in lines() if line.startswith(f"WARN {PREFIX}")]
    assert sorted(line.split()[1].rstrip(":") for line in warnings) == sorted(names)
    assert runtime.endpoints[-3:] == [NEXT, NEXT, NEXT]


def test_forwarder_that_fails_during_an_invocation_does_not_hold_it(
    runtime: FakeLambda, run: Run, lines: Lines
) -> None:
    clock = broken.WorkersClock()
    clock.is_broken = True
    runtime.respond(NEXT, invoke("1"), invoke("2"), shutdown())

    assert run({PREFIX + "FLUSH": "end"}, clock) == 0

    assert lines() == [STOPPED.format("RuntimeError: broken on purpose")]


def test_failed_import_of_the_worker_is_one_line_and_invocations_go_on(
    runtime: FakeLambda, environ: dict[str, str]
) -> None:
    runtime.respond(NEXT, invoke("1"), invoke("2"), shutdown())
    # Started as the shell script does, but without the libraries that the package needs.
    start = "import sys; sys.path.insert(0, sys.argv[1])\nfrom telemetry_forwarder.__main__ import main; main('name')"

    process = subprocess.run(
        isolated_python(start, str(PROJECT)),
        env=environ | {"AWS_LAMBDA_RUNTIME_API": runtime.runtime_api},
        capture_output=True,
        text=True,
        timeout=60,
    )

    reason = "ModuleNotFoundError: No module named 'opentelemetry'"
    assert (process.returncode, process.stdout) == (0, "")
    bundle, stopped = process.stderr.splitlines()
    assert bundle.startswith(f"{MARK} WARN the warm-up bundle cannot be used: FileNotFoundError: ")
    assert stopped == f"{MARK} {STOPPED.format(reason)}"
    assert runtime.endpoints == [REGISTER, SUBSCRIBE, NEXT, NEXT, NEXT]
    assert runtime.calls[0].headers["lambda-extension-name"] == "name"
