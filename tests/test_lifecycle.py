import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.diagnostics import MARK
from telemetry_forwarder.lambda_api import LambdaApi
from telemetry_forwarder.lifecycle import Lifecycle
from telemetry_forwarder.settings import PREFIX
from tests.support import broken
from tests.support.fake_clock import FakeClock
from tests.support.fake_lambda import (
    IDENTIFIER,
    NEXT,
    REGISTER,
    SUBSCRIBE,
    FakeLambda,
    Response,
    invoke,
    shutdown,
)
from tests.support.paths import PROJECT

ROOT = PROJECT
STOPPED = "ERROR forwarding stopped: {}; invocations go on without it"
UNREACHABLE = Response(raw=b"", closes=True)


class ImpatientClock(FakeClock):
    """A clock whose time passes only while somebody sleeps."""

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)


@pytest.fixture
def runtime() -> Iterator[FakeLambda]:
    with FakeLambda() as runtime:
        yield runtime


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        PREFIX + "ENDPOINT": "http://127.0.0.1:1",
        PREFIX + "SPOOL_DIR": str(tmp_path),
        PREFIX + "LOG_LEVEL": "warn",
        # Nobody tells us of an end here, so nobody may wait for one.
        PREFIX + "FLUSH": "shutdown",
    }


Live = Callable[..., int]


@pytest.fixture
def live(runtime: FakeLambda, environ: dict[str, str]) -> Live:
    """Lives a life under *runtime*, gives its exit code."""

    def live(variables: Mapping[str, str] | None = None, clock: Clock | None = None) -> int:
        api = LambdaApi(runtime.runtime_api, "telemetry-forwarder")
        given = variables if isinstance(variables, broken.Environ) else environ | dict(variables or {})
        code = Lifecycle(api, given, clock or Clock()).run()
        api.close()
        return code

    return live


Lines = Callable[[], list[str]]


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    """What was said so far, without the mark that every line has."""

    def lines() -> list[str]:
        said = capfd.readouterr().err.splitlines()
        assert [line for line in said if not line.startswith(MARK)] == []
        return [line.removeprefix(f"{MARK} ") for line in said]

    return lines


def test_life_is_register_subscribe_and_next_until_shutdown(
    runtime: FakeLambda, live: Live, lines: Lines
) -> None:
    runtime.says(NEXT, invoke("1"), invoke("2"), shutdown())

    assert live() == 0

    assert runtime.endpoints == [REGISTER, SUBSCRIBE, NEXT, NEXT, NEXT]
    assert runtime.calls[0].body == b'{"events":["INVOKE","SHUTDOWN"]}'
    assert {call.headers["lambda-extension-identifier"] for call in runtime.calls[1:]} == {IDENTIFIER}
    assert lines() == []


def test_managed_instance_has_no_invoke(runtime: FakeLambda, live: Live) -> None:
    runtime.says(NEXT, shutdown())

    assert live({"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}) == 0

    assert runtime.calls[0].body == b'{"events":["SHUTDOWN"]}'


def schemas(runtime: FakeLambda) -> list[str]:
    return [json.loads(call.body)["schemaVersion"] for call in runtime.calls if call.endpoint == SUBSCRIBE]


@pytest.mark.parametrize(
    ("statuses", "tried", "said"),
    [
        ([200], ["2025-01-29"], []),
        ([400, 200], ["2025-01-29", "2022-12-13"], []),
        ([404, 200], ["2025-01-29", "2022-12-13"], []),
        (
            [202],
            ["2025-01-29"],
            ["INFO there is no Telemetry API here (a local emulator?); nothing will be forwarded"],
        ),
        (
            [400, 202],
            ["2025-01-29", "2022-12-13"],
            ["INFO there is no Telemetry API here (a local emulator?); nothing will be forwarded"],
        ),
        (
            [400, 400],
            ["2025-01-29", "2022-12-13"],
            ["ERROR the subscription was answered 400; nothing will be forwarded"],
        ),
        ([403], ["2025-01-29"], ["ERROR the subscription was answered 403; nothing will be forwarded"]),
        ([500], ["2025-01-29"], ["ERROR the subscription was answered 500; nothing will be forwarded"]),
    ],
)
def test_subscription_tries_the_older_schema_and_survives_any_answer(
    runtime: FakeLambda, live: Live, lines: Lines, statuses: list[int], tried: list[str], said: list[str]
) -> None:
    runtime.says(SUBSCRIBE, *map(Response, statuses))
    runtime.says(NEXT, invoke(), shutdown())

    code = live({PREFIX + "LOG_LEVEL": "info"})

    about_it = [line for line in lines() if "records received" not in line]
    assert (code, schemas(runtime), about_it) == (0, tried, said)
    assert runtime.endpoints[-2:] == [NEXT, NEXT]


def test_subscription_that_breaks_costs_the_telemetry_not_the_function(
    runtime: FakeLambda, live: Live, lines: Lines
) -> None:
    runtime.says(SUBSCRIBE, UNREACHABLE, UNREACHABLE)
    runtime.says(NEXT, invoke(), shutdown())

    assert live() == 0

    reason = f"LambdaUnreachableError: PUT /2022-07-01/telemetry at {runtime.runtime_api}: closed without an answer"
    assert lines() == [STOPPED.format(reason)]
    assert runtime.endpoints[-2:] == [NEXT, NEXT]


def test_event_of_an_unknown_kind_is_ignored(runtime: FakeLambda, live: Live, lines: Lines) -> None:
    runtime.says(NEXT, Response(body=b'{"eventType":"TOMORROW"}'), invoke(), shutdown())

    assert live() == 0

    assert runtime.endpoints.count(NEXT) == 3
    assert lines() == []


def test_event_that_is_none_ends_the_forwarding_not_the_life(
    runtime: FakeLambda, live: Live, lines: Lines
) -> None:
    runtime.says(NEXT, Response(body=b"nonsense"), invoke(), Response(body=b"more"), shutdown())

    assert live() == 0

    (line,) = lines()
    assert line.startswith("ERROR forwarding stopped: JSONDecodeError")
    assert runtime.endpoints.count(NEXT) == 4


def test_shutdown_is_understood_however_it_is_written(runtime: FakeLambda, live: Live) -> None:
    runtime.says(NEXT, Response(body=b'{\n  "eventType" : "SHUTDOWN"\n}'))

    assert live() == 0


@pytest.mark.parametrize("status", [400, 403, 500])
def test_refusal_to_register_is_one_line_and_exit_code_1(
    runtime: FakeLambda, live: Live, lines: Lines, status: int
) -> None:
    runtime.says(REGISTER, Response(status, b"no"))

    assert live() == 1

    assert lines() == [f"ERROR register was answered {status}: no"]
    assert runtime.endpoints == [REGISTER]


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("events", [[], [invoke()]], ids=["first", "later"])
def test_refusal_of_next_is_one_line_and_exit_code_1(
    runtime: FakeLambda, live: Live, lines: Lines, events: list[Response], status: int
) -> None:
    runtime.says(NEXT, *events, Response(status, b"no"))

    assert live() == 1

    assert lines() == [f"ERROR next was answered {status}: no"]
    assert runtime.endpoints.count(NEXT) == len(events) + 1


def test_runtime_api_that_is_away_for_a_while_is_outlived(
    runtime: FakeLambda, live: Live, lines: Lines
) -> None:
    runtime.says(SUBSCRIBE, Response(202))
    runtime.says(NEXT, invoke(), *[UNREACHABLE] * 10, invoke(), shutdown())

    assert live(clock=ImpatientClock()) == 0

    address = runtime.runtime_api
    assert lines() == [
        f"WARN GET /2020-01-01/extension/event/next at {address}: closed without an answer",
    ]


def test_runtime_api_that_stays_away_is_given_up(runtime: FakeLambda, live: Live, lines: Lines) -> None:
    clock = ImpatientClock()
    began_s = clock.monotonic_s()
    runtime.says(NEXT, *[UNREACHABLE] * 100)

    assert live(clock=clock) == 1

    assert 60.0 <= clock.monotonic_s() - began_s < 65.0
    assert lines()[-1].startswith("ERROR GET /2020-01-01/extension/event/next at ")


@pytest.mark.parametrize(
    "breaks_at",
    [
        pytest.param(PREFIX + "TYPES", id="settings"),
        pytest.param("AWS_LAMBDA_FUNCTION_NAME", id="worker"),
    ],
)
@pytest.mark.parametrize("warm_up", ["init", "background"])
def test_whatever_breaks_is_one_line_and_invocations_go_on(
    runtime: FakeLambda, live: Live, lines: Lines, environ: dict[str, str], breaks_at: str, warm_up: str
) -> None:
    runtime.says(NEXT, *[invoke(str(number)) for number in range(5)], shutdown())

    code = live(broken.Environ(breaks_at, **environ, **{PREFIX + "WARM_UP": warm_up}))

    assert (code, runtime.endpoints.count(NEXT)) == (0, 6)
    assert lines() == [STOPPED.format("RuntimeError: broken on purpose")]


def test_nonsense_in_every_setting_is_one_line_each_and_invocations_go_on(
    runtime: FakeLambda, live: Live, lines: Lines
) -> None:
    settings = """TYPES SIGNALS BUFFER_MAX_ITEMS BUFFER_MAX_BYTES BUFFER_TIMEOUT_MS LISTENER PORT FLUSH
        FLUSH_BUDGET_MS WARM_UP PLATFORM_LOGS RAW_LINES TRACE_PARENT SAMPLING INBOX_BYTES OUTBOX_BYTES
        BATCH_BYTES BATCH_ITEMS SPOOL_BYTES LOG_LEVEL"""
    names = [PREFIX + name for name in settings.split()]
    # No telemetry: with the default flush, an invocation would be held until its end is told.
    runtime.says(SUBSCRIBE, Response(202))
    runtime.says(NEXT, invoke("1"), invoke("2"), shutdown())

    assert live(dict.fromkeys(names, "nonsense %zz =")) == 0

    warnings = [line for line in lines() if line.startswith(f"WARN {PREFIX}")]
    assert sorted(line.split()[1].rstrip(":") for line in warnings) == sorted(names)
    assert runtime.endpoints[-3:] == [NEXT, NEXT, NEXT]


def test_forwarder_that_fails_with_an_invocation_in_its_hands_holds_nobody(
    runtime: FakeLambda, live: Live, lines: Lines
) -> None:
    clock = broken.WorkersClock()
    clock.is_broken = True
    runtime.says(NEXT, invoke("1"), invoke("2"), shutdown())

    assert live({PREFIX + "FLUSH": "end"}, clock) == 0

    assert lines() == [STOPPED.format("RuntimeError: broken on purpose")]


def test_heavy_half_that_cannot_be_imported_is_one_line_and_invocations_go_on(
    runtime: FakeLambda, environ: dict[str, str]
) -> None:
    runtime.says(NEXT, invoke("1"), invoke("2"), shutdown())
    # As the bootstrap starts it, but with nothing installed beside the package.
    start = "import sys; sys.path.insert(0, sys.argv[1])\nfrom telemetry_forwarder.__main__ import main; main('name')"

    life = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", start, str(ROOT)],
        env=environ | {"AWS_LAMBDA_RUNTIME_API": runtime.runtime_api},
        capture_output=True,
        text=True,
        timeout=60,
    )

    reason = "ModuleNotFoundError: No module named 'orjson'"
    assert (life.returncode, life.stdout) == (0, "")
    assert life.stderr.splitlines() == [f"{MARK} {STOPPED.format(reason)}"]
    assert runtime.endpoints == [REGISTER, SUBSCRIBE, NEXT, NEXT, NEXT]
    assert runtime.calls[0].headers["lambda-extension-name"] == "name"
