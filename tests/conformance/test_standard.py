"""The extension under AWS's emulator in standard mode: the whole lifecycle, without a Telemetry API."""

import statistics
from pathlib import Path

import pytest

from tests.conformance.namespaces import IS_ROOT
from tests.conformance.rie import Rie

pytestmark = pytest.mark.emulator("standard")

REGISTER = "POST /2020-01-01/extension/register"
NEXT = "GET /2020-01-01/extension/event/next"
# Lambda's own: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
SHUTDOWN_LIMIT_S = 2.0


# Root can create namespaces in both ways, other users only in one.
@pytest.mark.parametrize("as_user", [True, False] if IS_ROOT else [True])
def test_the_lifecycle_is_register_next_invoke_shutdown(wheel_opt: Path, as_user: bool) -> None:
    with Rie(wheel_opt, records_exits=False, as_user=as_user) as rie:
        responses = [rie.invoke({"lines": 3}).status, rie.invoke({"raises": "on purpose"}).status]
        termination = rie.terminate()

        assert responses == [200, 200]
        assert rie.api_calls == [REGISTER, NEXT, NEXT, NEXT]
        assert (termination.exit_status, termination.left_processes, termination.left_files) == (0, [], [])
        assert termination.ended_unix_s - termination.terminated_unix_s < SHUTDOWN_LIMIT_S


def test_a_missing_telemetry_api_is_no_error(wheel_opt: Path) -> None:
    with Rie(wheel_opt) as rie:
        response = rie.invoke({"lines": 3})
        rie.terminate()

        assert response.status == 200
        assert "[telemetry-forwarder] INFO there is no Telemetry API here" in rie.log
        assert "[telemetry-forwarder] ERROR" not in rie.log
        assert rie.collector.logs() == []


def test_the_exit_recorder_does_not_change_the_api_calls(wheel_opt: Path) -> None:
    with Rie(wheel_opt) as rie:
        rie.invoke()
        termination = rie.terminate()

        assert rie.api_calls == [REGISTER, NEXT, NEXT]
        assert [each.exit_status for each in rie.exits] == [0]
        assert (termination.left_processes, termination.left_files) == ([], [])


@pytest.mark.parametrize(
    ("timeout_s", "event", "expected_text"),
    [
        # The emulator counts init against the timeout: on a busy machine less is not enough for both.
        pytest.param(8, {"sleep_s": 60}, "Task timed out after 8.00 seconds", id="timeout"),
        pytest.param(60, {"exits": 3}, "Runtime exited with error: exit status 3", id="crash"),
        pytest.param(60, {"exits": 0}, "Runtime exited without providing a reason", id="exit"),
    ],
)
def test_a_reset_environment_starts_again_cleanly(
    wheel_opt: Path, timeout_s: int, event: dict[str, object], expected_text: str
) -> None:
    with Rie(wheel_opt, env={"AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s)}) as rie:
        first = rie.invoke({})
        lost = rie.invoke(event)
        second = [rie.invoke({}) for _ in range(2)]
        termination = rie.terminate()

        assert [response.is_from_function for response in (first, lost, *second)] == [True, False, True, True]
        assert expected_text in lost.body
        # If the runtime ends at once, the first process may receive SHUTDOWN instead of INVOKE.
        assert rie.api_calls.count(REGISTER) == 2
        assert rie.api_calls[-4:] == [REGISTER, NEXT, NEXT, NEXT]
        assert [each.exit_status for each in rie.exits] == [0, 0]
        assert (termination.exit_status, termination.left_processes, termination.left_files) == (0, [], [])
        assert "[telemetry-forwarder] ERROR" not in rie.log


def test_an_unreachable_endpoint_does_not_delay_the_caller(wheel_opt: Path) -> None:
    """The emulator holds the response until every extension has called `next`."""
    medians_ms = []
    for endpoint in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}):
        with Rie(wheel_opt, env=endpoint) as rie:
            responses = [rie.invoke().status for _ in range(20)]
            rie.terminate()

            assert responses == [200] * 20
            # Without the first one, which includes init.
            medians_ms.append(statistics.median(rie.durations_ms[1:]))

    reachable_ms, unreachable_ms = medians_ms
    # A millisecond on an idle machine; a flush that holds the caller takes its budget or a timeout.
    assert unreachable_ms < 100 + 10 * reachable_ms
