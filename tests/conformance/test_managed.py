"""The extension on a managed instance of AWS's emulator, which contains AWS's own Telemetry API."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.rie import HttpResponse, Rie
from tests.support.otlp_messages import attributes

pytestmark = pytest.mark.emulator("managed-instances")

RECORDER = Path(__file__).parent / "extensions" / "telemetry_recorder"
REGISTER = "POST /2020-01-01/extension/register"
SUBSCRIBE = "PUT /2022-07-01/telemetry"
NEXT = "GET /2020-01-01/extension/event/next"
SHUTDOWN_LIMIT_S = 2.0
EVERYTHING_AS_LOGS = {"TELEMETRY_FORWARDER_PLATFORM_LOGS": "all"}

# (source, time in ms, text)
Key = tuple[str, int, str]


def test_every_delivered_record_reaches_the_receiver(wheel_opt: Path) -> None:
    with Rie(wheel_opt, mode="managed-instances", env=EVERYTHING_AS_LOGS, extensions=[RECORDER]) as rie:
        responses = [rie.invoke(event).status for event in ({"lines": 3}, {"raises": "on purpose"}, {"lines": 100})]
        rie.terminate()

        assert responses == [200, 200, 200]
        assert Counter(_received(rie)) == Counter(_delivered(rie))
        assert {source for source, _, _ in _received(rie)} >= {
            "function",
            "platform.initStart",
            "platform.initRuntimeDone",
            "platform.initReport",
            "platform.extension",
            "platform.telemetrySubscription",
            "platform.start",
            "platform.report",
        }


def test_lines_of_other_extensions_reach_the_receiver(wheel_opt: Path, tmp_path: Path) -> None:
    talker = tmp_path / "talker"
    talker.write_text(RECORDER.read_text().replace("def main():\n", "def main():\n    print('I speak', flush=True)\n"))
    talker.write_text(talker.read_text().replace('"telemetry_recorder"', '"talker"'))

    with Rie(wheel_opt, mode="managed-instances", env=EVERYTHING_AS_LOGS, extensions=[talker]) as rie:
        rie.invoke()
        rie.terminate()

        assert [text for source, _, text in _received(rie) if source == "extension"] == ["I speak"]
        assert Counter(_received(rie)) == Counter(_delivered(rie))


def test_four_concurrent_invocations_lose_nothing(wheel_opt: Path) -> None:
    with Rie(wheel_opt, mode="managed-instances", env=EVERYTHING_AS_LOGS, extensions=[RECORDER]) as rie:
        with ThreadPoolExecutor(4) as callers:
            responses = list(callers.map(lambda _: _invoke_when_free(rie, {"lines": 20}), range(20)))
        rie.terminate()

        assert [response.status for response in responses] == [200] * 20
        # The emulator merges lines that two workers print at once: only what it delivered can arrive.
        assert Counter(_received(rie)) == Counter(_delivered(rie))
        started = {record.event_name for _, _, record in rie.collector.logs()}
        assert "platform.start" in started


def test_a_managed_instance_from_init_to_shutdown(wheel_opt: Path) -> None:
    with Rie(wheel_opt, mode="managed-instances") as rie:
        rie.invoke({"lines": 3})
        termination = rie.terminate()

        assert rie.api_calls == [REGISTER, SUBSCRIBE, NEXT]
        assert [each.exit_status for each in rie.exits] == [0]
        assert (termination.exit_status, termination.left_processes, termination.left_files) == (0, [], [])
        assert termination.ended_unix_s - termination.terminated_unix_s < SHUTDOWN_LIMIT_S
        assert "[telemetry-forwarder] ERROR" not in rie.log


def test_records_reach_the_receiver_while_the_instance_runs(wheel_opt: Path) -> None:
    with Rie(wheel_opt, mode="managed-instances", env={"TELEMETRY_FORWARDER_FLUSH": "every 1"}) as rie:
        response = json.loads(rie.invoke({"lines": 3}).body)

        assert rie.collector.wait_for(lambda: len(_lines(rie)) >= 3, timeout_s=60)
        assert _lines(rie) == [f"line {number} of {response['request_id']}" for number in range(3)]


def test_a_structured_line_keeps_its_types(wheel_opt: Path) -> None:
    logged = {"n": 1, "ratio": 1.0, "ok": True, "none": None, "nested": {"list": [1, "b", {}]}}

    with Rie(wheel_opt, mode="managed-instances") as rie:
        rie.invoke({"json": {"level": "WARN", "message": "structured", **logged}})
        rie.terminate()

        [record] = [record for _, _, record in rie.collector.logs() if record.body.string_value == "structured"]
        assert (record.severity_number, record.severity_text) == (13, "WARN")
        kept = attributes(record.attributes)
        assert repr({key: kept[key] for key in logged}) == repr(logged)


@pytest.mark.parametrize("listener", ["http", "tcp"])
def test_lambda_delivers_over_http_and_tcp(wheel_opt: Path, listener: str) -> None:
    env = {**EVERYTHING_AS_LOGS, "TELEMETRY_FORWARDER_LISTENER": listener}
    with Rie(wheel_opt, mode="managed-instances", env=env, extensions=[RECORDER]) as rie:
        rie.invoke({"lines": 50})
        rie.terminate()

        assert Counter(_received(rie)) == Counter(_delivered(rie))


def _invoke_when_free(rie: Rie, event: dict[str, Any]) -> HttpResponse:
    """Invoke until a worker is free: before, the emulator responds with 400."""
    while "Runtime.Unavailable" in (response := rie.invoke(event)).body:
        time.sleep(0.01)
    return response


def _delivered(rie: Rie) -> list[Key]:
    """Return what the recorder received, without the extension's own lines, which are not exported."""
    events = (event for event in rie.recorded if not str(event["record"]).startswith("[telemetry-forwarder]"))
    return [_key(event["type"], event["time"], event["record"]) for event in events]


def _key(type_: str, time: str, record: Any) -> Key:
    if not isinstance(record, str):
        return type_, _ms(time), type_
    if record.startswith("{"):
        # The runtime client's timestamps are whole seconds; the event's time is more precise.
        logged = json.loads(record)
        return type_, _ms(time), logged.get("errorMessage") or logged["message"]
    return type_, _ms(time), record


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _received(rie: Rie) -> list[Key]:
    """Return what rotel received, in the same form."""
    return [
        (
            record.event_name or scope.name.rpartition(".")[2],
            record.time_unix_nano // 1_000_000,
            # The body of an event is text made from its fields.
            record.event_name or record.body.string_value,
        )
        for _, scope, record in rie.collector.logs()
    ]


def _lines(rie: Rie) -> list[str]:
    return [text for source, _, text in _received(rie) if source == "function" and text.startswith("line ")]
