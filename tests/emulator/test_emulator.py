"""The emulator with scripted extensions: real processes, real sockets, AWS's order and statuses."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Lambda
from tests.emulator.scenarios import SCENARIOS
from tests.emulator.scripted_extension import write_extension
from tests.support.paths import FUNCTIONS, PROJECT
from tests.support.waiting import is_dead, wait_until

FOLLOW = "register(); subscribe(); follow()"
UNTIL_RELEASED = "follow(wait_for_release)"

Start = Callable[..., Lambda]


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    return tmp_path / "opt"


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    """The file to which the extension appends the telemetry it accepted."""
    return tmp_path / "bodies"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file whose creation ends `wait_for_release` in the extension."""
    return tmp_path / "release"


@pytest.fixture
def start(opt: Path, bodies: Path, release: Path) -> Start:
    """Return a function that creates a Lambda with one extension, which runs *script*."""

    def start(script: str = FOLLOW, **settings: Any) -> Lambda:
        write_extension(opt, "tester", script)
        env = {"BODIES_FILE": str(bodies), "RELEASE_FILE": str(release), **settings.pop("env", {})}
        return Lambda(opt=opt, task=FUNCTIONS, env=env, **settings)

    return start


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("platform.") for event in events]


def records(events: list[dict[str, Any]], kind: str) -> list[Any]:
    return [event["record"] for event in events if event["type"].removeprefix("platform.") == kind]


def printed(lam: Lambda) -> list[Any]:
    """Parse the JSON that the extension printed."""
    return [json.loads(line) for line in lam.extension_output]


# The order of things.


def test_events_are_emitted_in_lambdas_order(start: Start) -> None:
    with start() as lam:
        lam.invoke({"log": 1})
        lam.invoke({"print": 1})
        exits = lam.shutdown()

    assert types(lam.emitted) == [
        "initStart", "telemetrySubscription", "initRuntimeDone", "extension", "initReport",
        "start", "function", "runtimeDone", "report",
        "start", "function", "runtimeDone", "report",
    ]  # fmt: skip
    assert lam.delivered == lam.emitted
    assert lam.dropped == []
    assert [(e.name, e.code, e.killed) for e in exits] == [("tester", 0, False)]


def test_extensions_register_before_the_runtime_starts(start: Start) -> None:
    with start() as lam:
        lam.invoke()

    request_started = [(call.caller, call.path.rsplit("/", 1)[-1], call.result) for call in lam.calls[:4]]
    assert request_started[:2] == [("tester", "register", None), ("tester", "telemetry", None)]
    assert {caller for caller, path, _ in request_started[2:]} == {"tester", "runtime"}
    assert {path for _, path, _ in request_started[2:]} == {"next"}


def test_the_response_comes_before_the_extension_is_idle(start: Start, release: Path) -> None:
    with start(f"register(); {UNTIL_RELEASED}") as lam:
        result = lam.invoke(wait="response")
        wait_until(lambda: "runtimeDone" in types(lam.emitted))
        at_response = types(lam.emitted)
        time.sleep(0.05)  # Time has to pass: it is what the report counts.
        release.touch()

    assert result.is_success
    assert "report" not in at_response
    [report] = records(lam.emitted, "report")
    [overhead] = report["spans"]
    assert overhead["name"] == "extensionOverhead"
    assert overhead["durationMs"] >= 50


def test_a_handler_exception_is_a_success_for_lambda(start: Start) -> None:
    with start() as lam:
        result = lam.invoke({"raise": "no luck"})

    assert (result.status, result.error_type, result.payload["errorMessage"]) == ("success", "DemoError", "no luck")
    assert [r["status"] for r in records(lam.emitted, "runtimeDone")] == ["success"]


def test_without_extensions_the_function_runs_alone(tmp_path: Path) -> None:
    with Lambda(opt=tmp_path, task=FUNCTIONS) as lam:
        assert lam.invoke({"n": 1}).is_success
        assert lam.shutdown() == []


# What each process sees.


def test_extensions_have_the_environment_that_lambda_sets(start: Start) -> None:
    script = "register(); log(json.dumps([sorted(os.environ), os.environ['TMPDIR']])); follow(linger_s=0)"

    with start(script, env={"CUSTOMER": "1"}) as lam:
        [[names, tmp]] = printed(lam)
        assert Path(tmp) == lam.tmp

    assert set(names) >= {
        "AWS_REGION", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_RUNTIME_API",
        "AWS_ACCESS_KEY_ID", "PATH", "LD_LIBRARY_PATH", "TZ", "CUSTOMER",
    }  # fmt: skip
    hidden = {"AWS_EXECUTION_ENV", "LAMBDA_FUNCTIONS_ROOT", "AWS_LAMBDA_LOG_GROUP_NAME", "PYTHONPATH"}
    assert not hidden & set(names)
    assert not [name for name in names if name.startswith("_")]


def test_lines_and_framed_logs_become_records(start: Start) -> None:
    with start() as lam:
        request_id = lam.invoke({"multiline": 2, "print": 2, "stderr": "oops"}).request_id

    lines = [line.split("\t")[-1] for line in records(lam.delivered, "function")]
    assert sorted(lines) == ["oops", f"printed 0 by {request_id}", f"printed 1 by {request_id}", "row 0\nrow 1\n"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [("2022-12-13", [{"a": 1}, {"level": "INFO", "message": "plain"}]), ("2022-07-01", ['{"a": 1}', "plain"])],
)
def test_json_logs_are_objects_from_the_second_schema_on(start: Start, schema: str, expected: list[Any]) -> None:
    with start(f"register(); subscribe(schema='{schema}'); follow()", log_format="JSON") as lam:
        lam.invoke({"json": {"a": 1}})
        lam.invoke({"say": "plain"})

    found = records(lam.delivered, "function")
    for record in found:
        if isinstance(record, dict):
            record.pop("timestamp", None)
    assert found == expected


def test_lines_of_extensions_are_delivered(start: Start) -> None:
    with start("register(); subscribe(); log('hello'); follow()") as lam:
        lam.invoke()

    assert [event["record"] for event in lam.delivered if event["type"] == "extension"] == ["hello"]


# The Extensions API.


def test_register_responds_as_lambda_does(start: Start) -> None:
    script = """
log(json.dumps(register(Lambda_Extension_Accept_Feature="accountId, other")))
follow(linger_s=0)
"""
    with start(script, version="7") as lam:
        lam.invoke()

    assert printed(lam) == [
        [200, {"functionName": "orders", "functionVersion": "7", "handler": "app.handler", "accountId": "111122223333"}]
    ]


def test_invalid_calls_are_rejected_as_lambda_does(start: Start) -> None:
    script = """
rejected = [
    register(name=""),
    register(name="tester.sh"),
    register(events=["DEPLOY"]),
    call("POST", "/2020-01-01/extension/register", b"{", Lambda_Extension_Name="tester"),
    call("GET", "/2020-01-01/extension/event/next"),
    call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier="tester"),
    call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier="0" * 32),
]
register()
rejected += [register(), call("POST", "/2020-01-01/extension/init/error")]
log(json.dumps([[status, body["errorType"]] for status, body, *_ in rejected]))
follow(linger_s=0)
"""
    with start(script) as lam:
        lam.invoke()

    assert printed(lam)[0] == [
        [403, "Extension.InvalidExtensionName"],
        [403, "Extension.InvalidEventType"],
        [403, "Extension.InvalidEventType"],
        [403, "InvalidRequestFormat"],
        [403, "Extension.MissingExtensionIdentifier"],
        [403, "Extension.InvalidExtensionIdentifier"],
        [403, "Extension.UnknownExtensionIdentifier"],
        [403, "Extension.InvalidExtensionState"],
        [403, "Extension.MissingHeader"],
    ]


def test_an_extension_that_never_registers_makes_init_time_out(start: Start) -> None:
    with start("threading.Event().wait(60)", init_timeout_s=0.1, timeout_s=0.1, shutdown_s=0.1) as lam:
        assert lam.init_fault is not None
        result = lam.invoke()

    assert lam.init_fault.status == result.status == "timeout"
    assert [r["phase"] for r in records(lam.emitted, "initReport")] == ["init", "invoke"]
    assert not [call for call in lam.calls if call.caller == "runtime"]


def test_a_file_that_cannot_be_executed_fails_the_function(opt: Path) -> None:
    (opt / "extensions").mkdir(parents=True)
    (opt / "extensions" / "README").write_text("not a program")

    with Lambda(opt=opt, task=FUNCTIONS) as lam:
        assert lam.invoke().error_type == "Extension.LaunchError"


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        ("register(); sys.exit(0)", "Extension.Crash"),
        ("register(); error('init'); next_event()", "Extension.InitError"),
    ],
)
def test_an_extension_that_ends_during_init_fails_the_function(start: Start, script: str, error_type: str) -> None:
    with start(script) as lam:
        result = lam.invoke()

    assert (result.status, result.error_type) == ("error", error_type)
    assert records(lam.emitted, "initReport")[0]["errorType"] == error_type


@pytest.mark.parametrize(
    ("action", "error_type"), [("os._exit(0)", "Extension.Crash"), ("error('exit')", "Extension.ExitError")]
)
def test_an_extension_that_ends_during_an_invocation_fails_it(start: Start, action: str, error_type: str) -> None:
    with start(f"register(); follow(lambda event: {action}, linger_s=0)") as lam:
        result = lam.invoke()

    assert (result.status, result.error_type) == ("error", error_type)
    assert [reason for reason, _ in lam.resets] == ["failure"]


# The Telemetry API.


def test_subscriptions_are_validated_as_aws_does(start: Start) -> None:
    script = """
port = listen()
good = {
    "schemaVersion": "2025-01-29",
    "destination": {"protocol": "HTTP", "URI": f"http://sandbox:{port}/path"},
    "types": ["function"],
    "buffering": {"maxItems": 1000, "maxBytes": 1048576, "timeoutMs": 30000},
}
at = lambda uri: {"destination": {"protocol": "HTTP", "URI": uri}}
bad = [
    {"schemaVersion": "2020-08-15"}, {"schemaVersion": None},
    {"types": []}, {"types": ["logs"]}, {"types": "function"},
    {"buffering": {"maxItems": 999}}, {"buffering": {"maxItems": 10001}}, {"buffering": {"maxItems": "1000"}},
    {"buffering": {"maxBytes": 262143}}, {"buffering": {"maxBytes": 1048577}},
    {"buffering": {"timeoutMs": 24}}, {"buffering": {"timeoutMs": 30001}},
    at(f"http://127.0.0.1:{port}"), at(f"http://localhost:{port}"), at("http://sandbox:9001"),
    at(f"https://sandbox:{port}"), at("http://sandbox"), {"destination": {"protocol": "HTTP"}},
    {"destination": {"protocol": "TCP", "port": 70000}}, {"destination": {"protocol": "UDP", "port": 1}},
    {"destination": None},
]
register()
for change in bad:
    status, body, _ = call("PUT", "/2022-07-01/telemetry", {**good, **change})
    if (status, body["errorType"]) != (400, "ValidationError"):
        log(json.dumps([change, status, body]))
log(json.dumps(call("PUT", "/2022-07-01/telemetry", b"[")[0]))
log(json.dumps(call("PUT", "/2022-07-01/telemetry", good)[:2]))
follow(linger_s=0)
"""
    with start(script) as lam:
        lam.invoke()

    assert printed(lam) == [400, [200, "OK"]]


def test_the_newest_schema_can_be_unknown(start: Start) -> None:
    script = """
register()
log(json.dumps([subscribe(schema="2025-01-29")[0], subscribe(schema="2022-12-13")[0]]))
follow()
"""
    with start(script, newest_schema=False) as lam:
        lam.invoke()

    assert printed(lam) == [[400, 200]]


def test_subscribing_after_the_first_next_is_rejected(start: Start) -> None:
    with start("register(); next_event(); log(json.dumps(subscribe())); follow(linger_s=0)") as lam:
        lam.invoke()

    assert [(status, result["errorType"]) for status, result in printed(lam)] == [(403, "Telemetry.SubscriptionClosed")]


def test_telemetry_can_be_unsupported(start: Start) -> None:
    script = "register(); log(json.dumps(subscribe())); follow(linger_s=0)"

    with start(script, telemetry="unsupported") as lam:
        assert lam.invoke({"log": 1}).is_success

    [[status, result]] = printed(lam)
    assert (status, result["errorType"]) == (202, "Telemetry.NotSupported")
    assert lam.posts == []


def test_only_subscribed_types_are_sent(start: Start) -> None:
    with start("register(); subscribe(types=['function']); log('hello'); follow()") as lam:
        lam.invoke({"log": 2})

    assert set(types(lam.delivered)) == {"function"}


def test_a_full_buffer_is_sent_before_its_timeout(start: Start, release: Path) -> None:
    subscription = "subscribe(types=['function'], maxItems=1000, timeoutMs=30000)"

    with start(f"register(); {subscription}; {UNTIL_RELEASED}") as lam:
        lam.invoke({"flood": 2500}, wait="response")
        wait_until(lambda: len(lam.posts) == 2)
        release.touch()

    assert [post.events for post in lam.posts] == [1000, 1000, 500]


def test_rejected_posts_are_retried_in_order(start: Start, bodies: Path) -> None:
    with start("register(); subscribe(statuses=[503, 500]); follow()") as lam:
        lam.invoke({"log": 3, "sleep": 0.3})
        lam.invoke({"log": 3})

    assert [(post.status, post.attempt) for post in lam.posts[:3]] == [(503, 1), (500, 2), (200, 3)]
    assert [event for line in bodies.read_text().splitlines() for event in json.loads(line)] == lam.emitted


def test_a_listener_that_starts_late_loses_nothing(start: Start) -> None:
    script = """
register()
spare = socket.create_server(("127.0.0.1", 0))
port = spare.getsockname()[1]
spare.close()
subscribe(port=port)
next_event()
listen(port=port)
follow()
"""
    with start(script) as lam:
        lam.invoke({"sleep": 0.1})

    assert lam.posts[0].status is None
    assert lam.delivered == lam.emitted


def test_overflow_is_dropped_and_reported(start: Start, release: Path) -> None:
    script = f"register(); subscribe(statuses=[503] * 4); {UNTIL_RELEASED}"

    with start(script, backlog_bytes=20_000, redelivery_first_s=0.01) as lam:
        lam.invoke({"flood": 1000}, wait="response")
        wait_until(lambda: bool(records(lam.delivered, "logsDropped")))
        release.touch()

    reported = sum(record["droppedRecords"] for record in records(lam.delivered, "logsDropped"))
    assert reported == len(lam.dropped) > 0
    assert len(lam.delivered) + len(lam.dropped) == len(lam.emitted)


def test_an_acknowledged_post_can_be_sent_twice(start: Start, bodies: Path) -> None:
    with start("register(); subscribe(); follow(copies=2)", redeliver_every=1) as lam:
        lam.invoke({"log": 1})

    lines = bodies.read_text().splitlines()
    assert lines[0::2] == lines[1::2]
    assert lam.delivered == lam.emitted


def test_tcp_carries_one_event_per_line(start: Start, bodies: Path) -> None:
    with start("register(); subscribe(protocol='TCP'); follow()") as lam:
        lam.invoke({"log": 2})

    assert [json.loads(line) for line in bodies.read_text().splitlines()] == lam.emitted


@pytest.mark.parametrize(("cut", "posts"), [("within", 1), ("across", 3)])
def test_long_records_are_cut_within_a_value(start: Start, bodies: Path, cut: str, posts: int) -> None:
    script = "register(); subscribe(types=['function'], timeoutMs=30000); follow()"

    with start(script, log_format="JSON", cut=cut, cut_bytes=1000) as lam:
        lam.invoke({"huge": 2500})

    fragments = re.findall(
        rb'\{"time":"[^"]+","type":"function","record":(.*?)\}(?=,\{"time|\]$)', bodies.read_bytes(), re.M
    )
    assert len(lam.posts) == posts
    assert len(fragments) == 3
    assert fragments[0].startswith(b'{"level":"INFO"')
    assert [json.loads(b"".join(fragments))] == records(lam.delivered, "function")


# Failing invocations and resets.


def test_a_timeout_resets_everything_but_tmp(start: Start) -> None:
    with start(timeout_s=1.0) as lam:
        first = lam.invoke({"write_tmp": "notes", "sleep": 5})
        second = lam.invoke({"write_tmp": "notes"})
        notes = (lam.tmp / "notes").read_text().split()

    assert (first.status, first.error_type) == ("timeout", "Sandbox.Timedout")
    assert second.is_success
    assert second.payload["invocation"] == 1
    assert notes == [first.request_id, second.request_id]
    [(reason, [exit_])] = lam.resets
    assert (reason, exit_.code) == ("timeout", 0)
    assert [r["phase"] for r in records(lam.emitted, "initStart")] == ["init", "invoke"]
    assert [r["status"] for r in records(lam.emitted, "report")] == ["timeout", "success"]
    assert lam.delivered == lam.emitted


@pytest.mark.parametrize(("event", "message"), [({"exit": 1}, "exit status 1"), ({"kill": True}, "signal: killed")])
def test_a_runtime_that_dies_fails_the_invocation(start: Start, event: dict[str, Any], message: str) -> None:
    with start() as lam:
        result = lam.invoke({"log": 1, **event})
        assert lam.invoke().is_success

    assert (result.status, result.error_type) == ("error", "Runtime.ExitError")
    assert message in result.payload["errorMessage"]
    assert [reason for reason, _ in lam.resets] == ["failure"]
    assert records(lam.delivered, "runtimeDone")[0]["errorType"] == "Runtime.ExitError"


def test_an_out_of_memory_kill_can_be_requested(start: Start) -> None:
    script = "register(); follow(lambda event: log('now'))"

    with start(script) as lam:
        killer = _when(lambda: "now" in lam.extension_output, lam.kill_out_of_memory)
        result = lam.invoke({"sleep": 5})
        killer.join()

    assert result.error_type == "Runtime.OutOfMemory"
    assert records(lam.emitted, "report")[0]["metrics"]["maxMemoryUsedMB"] == 128


def test_the_memory_limit_kills(start: Start) -> None:
    with start(memory_limit=True, memory_mb=128) as lam:
        _require(lam, "memory")
        result = lam.invoke({"memory": 400})

    assert result.error_type == "Runtime.OutOfMemory"


def test_a_handler_that_cannot_be_imported_fails_init(start: Start) -> None:
    with start(handler="nowhere.handler") as lam:
        result = lam.invoke()

    assert result.error_type == "Runtime.ImportModuleError"


def test_a_new_environment_has_a_new_tmp(start: Start) -> None:
    with start() as lam:
        lam.invoke({"write_tmp": "notes"})
        before = lam.tmp
        lam.shutdown()
        lam.invoke()

        assert not before.exists()
        assert list(lam.tmp.iterdir()) == []
    assert [r["phase"] for r in records(lam.emitted, "initStart")] == ["init", "init"]


# Shutdown.


def test_an_extension_that_misses_the_deadline_is_killed(start: Start) -> None:
    with start("register(); follow(); threading.Event().wait(60)", shutdown_s=0.5) as lam:
        lam.invoke()
        [exit_] = lam.shutdown()

    assert (exit_.code, exit_.killed) == (-signal.SIGKILL, True)
    assert exit_.seconds > 0.4


def test_an_extension_without_shutdown_is_killed_at_once(start: Start) -> None:
    with start("register(['INVOKE']); follow()", shutdown_s=60.0) as lam:
        lam.invoke()
        [exit_] = lam.shutdown()

    assert exit_.killed
    assert exit_.seconds < 30


def test_shutdown_contains_reason_and_deadline(start: Start) -> None:
    with start("register(); log(json.dumps(follow()))") as lam:
        before_ms = time.time() * 1000
        lam.shutdown()
        after_ms = time.time() * 1000

    [event] = printed(lam)
    deadline_ms = event.pop("deadlineMs")
    assert event == {"eventType": "SHUTDOWN", "shutdownReason": "spindown"}
    # The clocks are read one after the other, hence the millisecond.
    assert before_ms + 2000 - 1 <= deadline_ms <= after_ms + 2000 + 1


@pytest.mark.parametrize(
    ("report", "order"),
    [
        ("next", ["start", "runtimeDone", "report", "start", "runtimeDone", "report"]),
        ("shutdown-window", ["start", "runtimeDone", "report", "start", "runtimeDone", "report"]),
        ("late", ["start", "runtimeDone", "start", "report", "runtimeDone", "report"]),
        ("never", ["start", "runtimeDone", "start", "runtimeDone"]),
    ],
)
def test_the_report_is_emitted_when_the_settings_say(start: Start, report: str, order: list[str]) -> None:
    with start(report=report) as lam:
        lam.invoke()
        lam.invoke()

    assert [kind for kind in types(lam.delivered) if kind in ("start", "runtimeDone", "report")] == order


def test_nothing_is_left_behind(start: Start) -> None:
    script = "register(); log(os.spawnv(os.P_NOWAIT, '/bin/sleep', ['sleep', '60'])); follow()"

    with start(script) as lam:
        [child] = printed(lam)
        pids = [*lam.pids().values(), child]
        tmp = lam.tmp

    assert not tmp.exists()
    for pid in pids:
        wait_until(partial(is_dead, pid))


# Resources.

COUNTER = """
def count():
    while not threading.Event().wait(0.01):
        append(b"tick\\n")

threading.Thread(target=count, daemon=True).start()
register()
follow(lambda event: threading.Event().wait(0.05))
"""


@pytest.mark.parametrize("freeze", [True, "signals"])
def test_frozen_processes_stand_still_between_invocations(start: Start, bodies: Path, freeze: Any) -> None:
    with start(COUNTER, freeze=freeze) as lam:
        lam.invoke()
        frozen = bodies.stat().st_size
        time.sleep(0.1)  # Nothing must happen meanwhile.
        still = bodies.stat().st_size
        lam.invoke()
        thawed = bodies.stat().st_size

    assert still == frozen < thawed


def test_lambdas_own_timers_stop_with_the_environment(start: Start) -> None:
    """Takes the second by which the timeout is longer than an invocation on a busy machine."""
    with start("register(); subscribe(types=['function'], timeoutMs=1000); follow()") as lam:
        lam.invoke({"log": 1})
        time.sleep(1.1)  # Nothing must happen meanwhile.
        while_idle = len(lam.posts)
        lam.invoke({"sleep": 1.1})

        assert (while_idle, len(lam.posts)) == (0, 1)


def test_an_environment_can_freeze_during_an_export(start: Start, bodies: Path) -> None:
    with start(COUNTER) as lam:
        lam.invoke()
        lam.freeze()
        frozen = bodies.stat().st_size
        time.sleep(0.05)  # Nothing must happen meanwhile.
        assert bodies.stat().st_size == frozen
        lam.thaw()
        wait_until(lambda: bodies.stat().st_size > frozen)


def test_the_memory_size_is_a_share_of_the_cpu(start: Start) -> None:
    with start(cpu_share=True, memory_mb=128) as lam:
        _require(lam, "cpu")
        result = lam.invoke({"spin": 0.04})

    assert result.total_s > 0.4


# SnapStart, managed instances, streaming.


def test_snapstart_restores_the_same_processes(start: Start) -> None:
    with start(initialization_type="snap-start", freeze=True) as lam:
        before = lam.pids()
        result = lam.invoke({"log": 1})
        assert lam.pids() == before

    assert result.is_success
    assert types(lam.delivered)[:8] == [
        "initStart", "telemetrySubscription", "initRuntimeDone", "extension", "initReport",
        "restoreStart", "restoreRuntimeDone", "restoreReport",
    ]  # fmt: skip
    assert lam.emitted[4]["time"][:16] < lam.emitted[5]["time"][:16]
    [report] = records(lam.emitted, "report")
    assert "restoreDurationMs" in report["metrics"]
    assert "initDurationMs" not in report["metrics"]


MANAGED = """
log(json.dumps(register()[1]["errorType"]))
register(["SHUTDOWN"])
subscribe(schema="2025-01-29")
follow()
"""


def test_managed_instances_interleave_invocations(start: Start) -> None:
    with start(MANAGED, initialization_type="lambda-managed-instances", max_concurrency=4) as lam:
        results = lam.invoke_many([{"log": 2, "sleep": 0.3}] * 8, at_once=8)

    assert {result.status for result in results} == {"success"}
    assert len({result.payload["pid"] for result in results}) == 4
    assert printed(lam)[0] == "Extension.InvalidEventType"
    kinds = types(lam.delivered)
    assert "runtimeDone" not in kinds
    assert kinds.index("report") > kinds.index("start") + 4
    assert [set(r["metrics"]) for r in records(lam.delivered, "report")] == [{"durationMs"}] * 8
    logged = Counter(r["requestId"] for r in records(lam.delivered, "function") if "requestId" in r)
    assert logged == {result.request_id: 2 for result in results}


def test_a_managed_timeout_leaves_the_environment_alone(start: Start) -> None:
    managed = {"initialization_type": "lambda-managed-instances", "max_concurrency": 2}

    with start(MANAGED, timeout_s=1.0, **managed) as lam:
        slow, quick = lam.invoke_many([{"sleep": 60}, {}], at_once=2)

    assert (slow.status, quick.status) == ("timeout", "success")
    assert lam.resets == []
    assert Counter(r["status"] for r in records(lam.delivered, "report")) == {"timeout": 1, "success": 1}


STREAMING_RUNTIME = """
import http.client, os, threading
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
while True:
    connection = http.client.HTTPConnection(api)
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    response = connection.getresponse()
    response.read()
    path = f"/2018-06-01/runtime/invocation/{response.headers['Lambda-Runtime-Aws-Request-Id']}/response"
    connection.putrequest("POST", path)
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for chunk in (b"[1,", b"2]"):
        connection.send(b"%x\\r\\n%b\\r\\n" % (len(chunk), chunk))
        threading.Event().wait(0.1)
    connection.send(b"0\\r\\n\\r\\n")
    connection.getresponse().read()
"""


def test_streamed_responses_have_a_duration(start: Start) -> None:
    with start(bootstrap=[sys.executable, "-c", STREAMING_RUNTIME]) as lam:
        result = lam.invoke()

    assert result.payload == [1, 2]
    [done] = records(lam.delivered, "runtimeDone")
    spans = {span["name"]: span["durationMs"] for span in done["spans"]}
    assert spans["responseDuration"] > 150
    assert done["metrics"]["producedBytes"] == 5


# Whole environments.


def test_two_hundred_invocations_deliver_everything_once(start: Start, bodies: Path) -> None:
    with start(report="next") as lam:
        results = [lam.invoke({"log": 3}) for _ in range(200)]

    assert all(result.is_success for result in results)
    assert [event for line in bodies.read_text().splitlines() for event in json.loads(line)] == lam.emitted
    assert Counter(types(lam.delivered))["function"] == 600


@pytest.mark.parametrize("name", ["quiet", "errors", "crash", "frozen", "cut", "snapstart"])
def test_scenarios_play(start: Start, name: str) -> None:
    scenario = SCENARIOS[name]

    with start(**scenario.settings) as lam:
        results = scenario.play(lam)

    assert len(records(lam.delivered, "start")) == len(results)
    assert lam.delivered == lam.emitted


def test_the_command_shows_what_happened(opt: Path) -> None:
    write_extension(opt, "tester", FOLLOW)

    shown = subprocess.run(
        [sys.executable, "-m", "tests.emulator", "--opt", opt, "--task", FUNCTIONS, "-n", "2"],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    ).stdout

    assert shown.count("success") >= 2
    assert "tester" in shown


def _require(lam: Lambda, limit: str) -> None:
    if lam.enforced_by[limit].startswith("nothing"):
        pytest.skip(f"{limit} is enforced by {lam.enforced_by[limit]}")


def _when(condition: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        wait_until(condition)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--opt is missing"),
        (("--opt", "/nowhere/opt"), "--opt /nowhere/opt: no executable in its folder extensions"),
    ],
)
def test_command_without_an_extension_is_refused(arguments: tuple[str, ...], complaint: str) -> None:
    command = [sys.executable, "-m", "tests.emulator", *arguments]

    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stdout == ""
