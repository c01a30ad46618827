"""The extension under AWS's emulator as a managed instance: the one local Telemetry API that AWS wrote itself."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.rie import Invoked, Rie
from tests.support.otlp_messages import attributes

pytestmark = pytest.mark.emulator("managed-instances")

RECORDER = Path(__file__).parent / "extensions" / "recorder"
REGISTER = "POST /2020-01-01/extension/register"
SUBSCRIBE = "PUT /2022-07-01/telemetry"
NEXT = "GET /2020-01-01/extension/event/next"
SHUTDOWN_LIMIT_S = 2.0
EVERYTHING_AS_LOGS = {"TELEMETRY_FORWARDER_PLATFORM_LOGS": "all"}

# (source, time in ms, what it says)
Said = tuple[str, int, str]


def test_every_record_that_was_delivered_is_seen_at_the_receiver(wheel_opt: Path) -> None:
    with Rie(wheel_opt, mode="managed-instances", env=EVERYTHING_AS_LOGS, extensions=[RECORDER]) as rie:
        answers = [
            rie.invoke(event).status for event in ({"lines": 3}, {"raises": "on purpose"}, {"lines": 100})
        ]
        rie.terminate()

        assert answers == [200, 200, 200]
        assert Counter(_seen(rie)) == Counter(_delivered(rie))
        assert {source for source, _, _ in _seen(rie)} >= {
            "function",
            "platform.initStart",
            "platform.initRuntimeDone",
            "platform.initReport",
            "platform.extension",
            "platform.telemetrySubscription",
            "platform.start",
            "platform.report",
        }


def test_lines_of_other_extensions_are_seen(wheel_opt: Path, tmp_path: Path) -> None:
    talker = tmp_path / "talker"
    talker.write_text(
        RECORDER.read_text().replace("def main():\n", "def main():\n    print('I speak', flush=True)\n")
    )
    talker.write_text(talker.read_text().replace('"recorder"', '"talker"'))

    with Rie(wheel_opt, mode="managed-instances", env=EVERYTHING_AS_LOGS, extensions=[talker]) as rie:
        rie.invoke()
        rie.terminate()

        assert [text for source, _, text in _seen(rie) if source == "extension"] == ["I speak"]
        assert Counter(_seen(rie)) == Counter(_delivered(rie))


def test_four_invocations_at_once_lose_nothing(wheel_opt: Path) -> None:
    with Rie(wheel_opt, mode="managed-instances", env=EVERYTHING_AS_LOGS, extensions=[RECORDER]) as rie:
        with ThreadPoolExecutor(4) as callers:
            answers = list(callers.map(lambda _: _invoke_when_free(rie, {"lines": 20}), range(20)))
        rie.terminate()

        assert [answer.status for answer in answers] == [200] * 20
        # The emulator itself merges lines that two workers print at once: only what it delivered can be seen.
        assert Counter(_seen(rie)) == Counter(_delivered(rie))
        started = {record.event_name for _, _, record in rie.collector.logs()}
        assert "platform.start" in started


def test_the_life_of_a_managed_instance(wheel_opt: Path) -> None:
    with Rie(wheel_opt, mode="managed-instances") as rie:
        rie.invoke({"lines": 3})
        ending = rie.terminate()

        assert rie.api_calls == [REGISTER, SUBSCRIBE, NEXT]
        assert [life.exit_status for life in rie.lives] == [0]
        assert (ending.exit_status, ending.left_processes, ending.left_files) == (0, [], [])
        assert ending.ended_unix_s - ending.asked_unix_s < SHUTDOWN_LIMIT_S
        assert "[telemetry-forwarder] ERROR" not in rie.log


def test_records_reach_the_receiver_while_the_instance_lives(wheel_opt: Path) -> None:
    with Rie(wheel_opt, mode="managed-instances", env={"TELEMETRY_FORWARDER_FLUSH": "every 1"}) as rie:
        answer = json.loads(rie.invoke({"lines": 3}).body)

        assert rie.collector.wait_for(lambda: len(_lines(rie)) >= 3, timeout_s=20)
        assert _lines(rie) == [f"line {number} of {answer['request_id']}" for number in range(3)]


def test_a_structured_line_keeps_its_types(wheel_opt: Path) -> None:
    logged = {"n": 1, "ratio": 1.0, "ok": True, "none": None, "nested": {"list": [1, "b", {}]}}

    with Rie(wheel_opt, mode="managed-instances") as rie:
        rie.invoke({"json": {"level": "WARN", "message": "structured", **logged}})
        rie.terminate()

        [record] = [
            record for _, _, record in rie.collector.logs() if record.body.string_value == "structured"
        ]
        assert (record.severity_number, record.severity_text) == (13, "WARN")
        kept = attributes(record.attributes)
        assert repr({key: kept[key] for key in logged}) == repr(logged)


@pytest.mark.parametrize("listener", ["http", "tcp"])
def test_both_ways_to_listen_are_what_lambda_speaks(wheel_opt: Path, listener: str) -> None:
    env = {**EVERYTHING_AS_LOGS, "TELEMETRY_FORWARDER_LISTENER": listener}
    with Rie(wheel_opt, mode="managed-instances", env=env, extensions=[RECORDER]) as rie:
        rie.invoke({"lines": 50})
        rie.terminate()

        assert Counter(_seen(rie)) == Counter(_delivered(rie))


def _invoke_when_free(rie: Rie, event: dict[str, Any]) -> Invoked:
    """The emulator answers 400 while every worker is still on its way back to asking for the next invocation."""
    while "Runtime.Unavailable" in (answer := rie.invoke(event)).body:
        pass
    return answer


def _delivered(rie: Rie) -> list[Said]:
    """What the emulator gave to the recorder, but for our own lines: those never come back as telemetry."""
    events = (event for event in rie.recorded if not str(event["record"]).startswith("[telemetry-forwarder]"))
    return [_said(event["type"], event["time"], event["record"]) for event in events]


def _said(type_: str, time: str, record: Any) -> Said:
    if not isinstance(record, str):
        return type_, _ms(time), type_
    if record.startswith("{"):
        # The runtime client's own timestamps are whole seconds: the event's time says more.
        logged = json.loads(record)
        return type_, _ms(time), logged.get("errorMessage") or logged["message"]
    return type_, _ms(time), record


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _seen(rie: Rie) -> list[Said]:
    """What rotel took in, in the same form."""
    return [
        (
            record.event_name or scope.name.rpartition(".")[2],
            record.time_unix_nano // 1_000_000,
            record.body.string_value,
        )
        for _, scope, record in rie.collector.logs()
    ]


def _lines(rie: Rie) -> list[str]:
    return [text for source, _, text in _seen(rie) if source == "function" and text.startswith("line ")]
