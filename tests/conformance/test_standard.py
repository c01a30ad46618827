"""The extension under AWS's emulator in its standard mode: the whole lifecycle, and no telemetry at all."""

import os
import statistics
from pathlib import Path

import pytest

from tests.conformance.rie import Rie

pytestmark = pytest.mark.emulator("standard")

REGISTER = "POST /2020-01-01/extension/register"
NEXT = "GET /2020-01-01/extension/event/next"
# Lambda's own: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
SHUTDOWN_LIMIT_S = 2.0


# Only root can make namespaces in both ways; anybody else tests the one that is open to all.
@pytest.mark.parametrize("as_user", [True, False] if os.geteuid() == 0 else [True])
def test_a_life_is_register_next_invoke_shutdown(wheel_opt: Path, as_user: bool) -> None:
    with Rie(wheel_opt, is_witnessed=False, as_user=as_user) as rie:
        answers = [rie.invoke({"lines": 3}).status, rie.invoke({"raises": "on purpose"}).status]
        ending = rie.terminate()

        assert answers == [200, 200]
        assert rie.api_calls == [REGISTER, NEXT, NEXT, NEXT]
        assert (ending.exit_status, ending.left_processes, ending.left_files) == (0, [], [])
        assert ending.ended_unix_s - ending.asked_unix_s < SHUTDOWN_LIMIT_S


def test_a_telemetry_api_that_is_not_there_is_survived(wheel_opt: Path) -> None:
    with Rie(wheel_opt) as rie:
        answer = rie.invoke({"lines": 3})
        rie.terminate()

        assert answer.status == 200
        assert "[telemetry-forwarder] INFO there is no Telemetry API here" in rie.log
        assert "[telemetry-forwarder] ERROR" not in rie.log
        assert rie.collector.logs() == []


def test_the_witness_changes_nothing_that_lambda_sees(wheel_opt: Path) -> None:
    with Rie(wheel_opt) as rie:
        rie.invoke()
        ending = rie.terminate()

        assert rie.api_calls == [REGISTER, NEXT, NEXT]
        assert [life.exit_status for life in rie.lives] == [0]
        assert (ending.left_processes, ending.left_files) == ([], [])


@pytest.mark.parametrize(
    ("timeout_s", "event", "answer_has"),
    [
        # The emulator counts an init against the timeout: on a busy machine less is not enough for both.
        pytest.param(8, {"sleep_s": 60}, "Task timed out after 8.00 seconds", id="timeout"),
        pytest.param(60, {"exits": 3}, "Runtime exited with error: exit status 3", id="crash"),
        pytest.param(60, {"exits": 0}, "Runtime exited without providing a reason", id="exit"),
    ],
)
def test_a_lost_environment_is_followed_by_a_clean_second_life(
    wheel_opt: Path, timeout_s: int, event: dict[str, object], answer_has: str
) -> None:
    with Rie(wheel_opt, env={"AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s)}) as rie:
        first = rie.invoke({})
        lost = rie.invoke(event)
        second = [rie.invoke({}) for _ in range(2)]
        ending = rie.terminate()

        assert [answer.is_from_function for answer in (first, lost, *second)] == [True, False, True, True]
        assert answer_has in lost.body
        # If the runtime ends at once, the first life may be told of SHUTDOWN in the place of INVOKE.
        assert rie.api_calls.count(REGISTER) == 2
        assert rie.api_calls[-4:] == [REGISTER, NEXT, NEXT, NEXT]
        assert [life.exit_status for life in rie.lives] == [0, 0]
        assert (ending.exit_status, ending.left_processes, ending.left_files) == (0, [], [])
        assert "[telemetry-forwarder] ERROR" not in rie.log


def test_a_caller_waits_for_the_function_only(wheel_opt: Path) -> None:
    """The emulator holds the answer until every extension has asked for `next`."""
    with Rie(wheel_opt, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) as rie:
        answers = [rie.invoke().status for _ in range(20)]
        rie.terminate()

        assert answers == [200] * 20
        # REPORT has the whole of it; the first one is an init as well.
        assert statistics.median(rie.durations_ms[1:]) < 100
