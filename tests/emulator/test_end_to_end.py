"""The real extension process between the Lambda emulator, a real function and an OTLP receiver."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Lambda
from tests.emulator.metadata_api import ZONE_ID
from tests.support.collector import FakeCollector
from tests.support.paths import FUNCTIONS

Environment = Callable[..., Lambda]


@pytest.fixture
def environment(opt: Path, collector: FakeCollector, tmp_path: Path) -> Environment:
    """Return a function that creates a Lambda whose extension sends to the collector."""

    def make(env: dict[str, str] | None = None, **settings: Any) -> Lambda:
        variables = {
            "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
            "TELEMETRY_FORWARDER_SPOOL_DIR": str(tmp_path / "spool"),
            "TELEMETRY_FORWARDER_PLATFORM_LOGS": "all",
        }
        return Lambda(opt=opt, task=FUNCTIONS, env=variables | (env or {}), **settings)

    return make


def bodies(collector: FakeCollector) -> list[str]:
    return [record.body.string_value for _, scope, record in collector.logs() if "platform" not in scope.name]


def ledger(function: Lambda) -> dict[str, dict[str, int]]:
    """Parse the ledger that the extension logged at the end, by signal."""
    (line,) = [line for line in function.extension_output if "records received" in line]
    return {
        part.split()[0]: {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", part)}
        for part in line.split("; ")[1:]
    }


def is_exact(counts: dict[str, int]) -> bool:
    accounted = sum(counts[place] for place in ("delivered", "dropped", "held", "spooled"))
    return counts["received"] + counts.get("restored", 0) == accounted + counts.get("rejected", 0)


def test_two_hundred_invocations_deliver_every_record_exactly_once(
    environment: Environment, collector: FakeCollector
) -> None:
    with environment() as function:
        results = [function.invoke({"say": f"invocation {number}"}) for number in range(200)]
        (exit_,) = function.shutdown()

    assert {result.status for result in results} == {"success"}
    assert (exit_.code, exit_.killed) == (0, False)
    received = Counter(body for body in bodies(collector) if body.startswith("invocation"))
    assert received == Counter(f"invocation {number}" for number in range(200))
    counts = ledger(function)
    assert all(map(is_exact, counts.values()))
    assert counts["logs"]["received"] == counts["logs"]["delivered"] == len(function.delivered)


@pytest.mark.parametrize("initialization_type", ["on-demand", "snap-start"])
def test_availability_zone_is_known_soon(
    environment: Environment, collector: FakeCollector, initialization_type: str
) -> None:
    def is_known() -> bool:
        return any(resource.get("cloud.availability_zone") == ZONE_ID for resource, _, _ in collector.spans())

    with environment({"TELEMETRY_FORWARDER_FLUSH": "end"}, initialization_type=initialization_type) as function:
        # Nobody waits for the answer, so a busy machine may need several invocations.
        for _ in range(50):
            function.invoke({"sleep": 0.02})
            if is_known():
                break

    assert is_known()
    assert [call.status for call in function.calls if "metadata" in call.path] == [200]


def test_flush_end_delivers_an_invocation_before_the_next_one(
    environment: Environment, collector: FakeCollector
) -> None:
    with environment({"TELEMETRY_FORWARDER_FLUSH": "end"}) as function:
        function.invoke({"say": "first"})

        assert "first" in bodies(collector)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"TELEMETRY_FORWARDER_ENDPOINT": "http://127.0.0.1:1"}, id="endpoint-refuses"),
        pytest.param({"TELEMETRY_FORWARDER_ENDPOINT": "no url at all"}, id="endpoint-is-no-url"),
    ],
)
def test_an_unreachable_endpoint_fails_no_invocation(environment: Environment, fault: dict[str, str]) -> None:
    with environment(fault) as function:
        results = [function.invoke({"log": 1}) for _ in range(5)]
        (exit_,) = function.shutdown()

    assert {result.status for result in results} == {"success"}
    assert (exit_.code, exit_.killed) == (0, False)
    assert all(map(is_exact, ledger(function).values()))


SETTINGS_OF_THE_FUNCTION = {
    "OTEL_SDK_DISABLED": "true",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x",
    "OTEL_PYTHON_CONTEXT": "nonsense",
    "GRPC_POLL_STRATEGY": "nonsense",
    "OTEL_SERVICE_NAME": "checkout",
    "OTEL_RESOURCE_ATTRIBUTES": "=,d",
}


def test_settings_of_the_functions_sdk_do_not_affect_the_extension(
    environment: Environment, collector: FakeCollector
) -> None:
    with environment(SETTINGS_OF_THE_FUNCTION) as function:
        result = function.invoke({"log": 1})
        (exit_,) = function.shutdown()

    assert (result.status, exit_.code) == ("success", 0)
    assert all("[telemetry-forwarder]" in line for line in function.extension_output)
    assert all(counts["delivered"] > 0 for counts in ledger(function).values())
    assert {resource["service.name"] for resource, _, _ in collector.logs()} == {"checkout"}


INVALID = dict.fromkeys(
    (
        "TELEMETRY_FORWARDER_TYPES",
        "TELEMETRY_FORWARDER_SIGNALS",
        "TELEMETRY_FORWARDER_BUFFER_MAX_ITEMS",
        "TELEMETRY_FORWARDER_BUFFER_MAX_BYTES",
        "TELEMETRY_FORWARDER_BUFFER_TIMEOUT_MS",
        "TELEMETRY_FORWARDER_LISTENER",
        "TELEMETRY_FORWARDER_PORT",
        "TELEMETRY_FORWARDER_FLUSH",
        "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS",
        "TELEMETRY_FORWARDER_WARM_UP",
        "TELEMETRY_FORWARDER_PLATFORM_LOGS",
        "TELEMETRY_FORWARDER_RAW_LINES",
        "TELEMETRY_FORWARDER_JOIN_LINES",
        "TELEMETRY_FORWARDER_CHECK",
        "TELEMETRY_FORWARDER_TRACE_PARENT",
        "TELEMETRY_FORWARDER_SPAN_START",
        "TELEMETRY_FORWARDER_SAMPLING",
        "TELEMETRY_FORWARDER_INBOX_BYTES",
        "TELEMETRY_FORWARDER_OUTBOX_BYTES",
        "TELEMETRY_FORWARDER_BATCH_BYTES",
        "TELEMETRY_FORWARDER_BATCH_ITEMS",
        "TELEMETRY_FORWARDER_SPOOL_BYTES",
        "TELEMETRY_FORWARDER_LOG_LEVEL",
        "TELEMETRY_FORWARDER_ENDPOINT",
        "TELEMETRY_FORWARDER_HEADERS",
        "TELEMETRY_FORWARDER_TIMEOUT",
        "TELEMETRY_FORWARDER_COMPRESSION",
        "TELEMETRY_FORWARDER_PROTOCOL",
        "TELEMETRY_FORWARDER_ENPDOINT",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    ),
    "nonsense %zz =",
)


def test_every_invalid_setting_causes_one_warning_and_no_failed_invocation(environment: Environment) -> None:
    with environment(INVALID) as function:
        results = [function.invoke({"log": 1}) for _ in range(3)]
        (exit_,) = function.shutdown()

    assert {result.status for result in results} == {"success"}
    assert (exit_.code, exit_.killed) == (0, False)
    lines = [line for line in function.extension_output if "WARN" in line]
    named = {name: sum(f" {name}:" in line for line in lines) for name in INVALID}
    assert named == dict.fromkeys(INVALID, 1)


HOSTILE = [
    {"TELEMETRY_FORWARDER_ENDPOINT": "http://10.255.255.1", "ALL_PROXY": "http://127.0.0.1:1", "NO_PROXY": "a:²"},
    {"OTEL_EXPORTER_OTLP_LOGS_HEADERS": "a,b=\udcff,c", "TELEMETRY_FORWARDER_ENDPOINT": "http://127.0.0.1:1/\udcff"},
    {"OTEL_RESOURCE_ATTRIBUTES": "=,\udcff,a=b", "TELEMETRY_FORWARDER_ENDPOINT": "http://u:\udcff@127.0.0.1:1"},
    {
        "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "9" * 4_301,
        "TELEMETRY_FORWARDER_TRACES_ENDPOINT": "http://h:" + "9" * 4_301,
    },
    {"TELEMETRY_FORWARDER_CERTIFICATE": "/nowhere/\udcff", "TELEMETRY_FORWARDER_ENDPOINT": "https://127.0.0.1:²"},
]


@pytest.mark.parametrize("settings", HOSTILE, ids="+".join)
def test_hostile_values_are_named_and_forwarding_goes_on(environment: Environment, settings: dict[str, str]) -> None:
    with environment(settings) as function:
        result = function.invoke({"log": 1})
        (exit_,) = function.shutdown()

    assert (result.status, exit_.code) == ("success", 0)
    lines = [line for line in function.extension_output if "WARN" in line]
    # The default endpoint uses no certificate, and what precedes NO_PROXY is valid.
    is_used = {
        name: not name.endswith(("CERTIFICATE", "ALL_PROXY")) and "10.255" not in settings[name] for name in settings
    }
    assert {name: sum(f" {name}:" in line for line in lines) for name in settings} == {
        name: int(used) for name, used in is_used.items()
    }
    counts = ledger(function)
    assert counts["logs"]["received"] > 0
    assert all(map(is_exact, counts.values()))


def test_log_lines_of_the_extension_are_not_exported(environment: Environment, collector: FakeCollector) -> None:
    with environment({"TELEMETRY_FORWARDER_LOG_LEVEL": "debug"}) as function:
        function.invoke({"log": 1})
        function.invoke({"log": 1})

    assert len(function.extension_output) > 2
    assert not [body for body in bodies(collector) if "[telemetry-forwarder]" in body]


def test_pythonpath_and_working_directory_of_the_function_do_not_affect_the_extension(
    environment: Environment, collector: FakeCollector, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    (broken / "opentelemetry").mkdir(parents=True)
    (broken / "opentelemetry" / "__init__.py").write_text("raise ImportError('broken on purpose')\n")
    for module in ("json", "orjson", "socket", "httpx"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('shadowed on purpose')\n")

    with environment({"PYTHONPATH": str(broken)}, extension_cwd=tmp_path) as function:
        result = function.invoke({"say": "hello"})

    assert result.status == "success"
    assert "hello" in bodies(collector)


@pytest.mark.parametrize("listener", ["http", "tcp"])
@pytest.mark.parametrize("warm_up", ["init", "background"])
def test_every_record_arrives_over_http_and_tcp(
    environment: Environment, collector: FakeCollector, listener: str, warm_up: str
) -> None:
    env = {"TELEMETRY_FORWARDER_LISTENER": listener, "TELEMETRY_FORWARDER_WARM_UP": warm_up}
    with environment(env) as function:
        for number in range(3):
            function.invoke({"say": f"invocation {number}"})

    assert [body for body in bodies(collector) if body.startswith("invocation")] == [
        "invocation 0",
        "invocation 1",
        "invocation 2",
    ]


def test_the_word_shutdown_in_a_trace_header_is_no_shutdown(environment: Environment) -> None:
    with environment() as function:
        results = [function.invoke({"log": 1}, trace="SHUTDOWN") for _ in range(2)]
        (exit_,) = function.shutdown()

    assert {result.status for result in results} == {"success"}
    assert (exit_.code, exit_.killed) == (0, False)


@pytest.mark.parametrize("cut", ["across", "by-size"])
def test_a_record_that_lambda_cuts_arrives_whole(environment: Environment, collector: FakeCollector, cut: str) -> None:
    with environment(cut=cut) as function:
        function.invoke({"huge_text": 1_000_000})

    assert max(map(len, bodies(collector))) == 1_000_000


def test_files_of_the_user_in_the_spool_folder_are_not_touched(environment: Environment, tmp_path: Path) -> None:
    folder = tmp_path / "the user's"
    folder.mkdir(mode=0o755)
    files = {folder / f"model-{number}.bin": b"x" * 1_000_000 for number in range(20)}
    for path, content in files.items():
        path.write_bytes(content)

    env = {"TELEMETRY_FORWARDER_SPOOL_DIR": str(folder), "TELEMETRY_FORWARDER_ENDPOINT": "http://127.0.0.1:1"}
    for _ in range(2):
        with environment(env) as function:
            function.invoke({"log": 1})

    assert {path: path.read_bytes() for path in folder.glob("*") if path.is_file()} == files
    assert folder.stat().st_mode & 0o777 == 0o755
    assert list((folder / "telemetry-forwarder").iterdir())


def test_a_flood_before_a_timeout_arrives_after_the_reset(
    environment: Environment, collector: FakeCollector, tmp_path: Path
) -> None:
    """At the CPU share of 128 MB, SHUTDOWN leaves far too little time to convert this: it takes these seconds."""
    lines = 40_000
    small: dict[str, Any] = {"memory_mb": 128, "cpu_share": True, "timeout_s": 2.5}
    with environment({"TELEMETRY_FORWARDER_FLUSH": "end"}, **small) as function:
        if function.enforced_by["cpu"].startswith("nothing"):
            pytest.skip("no CPU quota can be set on this machine")
        lost = function.invoke({"flood": lines, "sleep": 60})
        while [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]:
            function.invoke({"sleep": 0.2})
        function.shutdown()

    [(reason, exits)] = function.resets
    assert (lost.status, reason, [exit_.killed for exit_ in exits]) == ("timeout", "timeout", [False])
    received = [body for body in bodies(collector) if body.startswith("flood")]
    assert Counter(received) == Counter(f"flood {number} {lost.request_id}" for number in range(lines))
