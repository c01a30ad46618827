"""The logs of both emulators are parsed."""

from tests.conformance.rie_log import ProcessExit, api_calls, durations_ms, managed_exits

STANDARD = """\
23 Nov 2026 04:29:57,842 [INFO] (rapid) INIT START(type: on-demand, phase: init)
23 Nov 2026 04:29:57,922 [DEBUG] (rapid) API request - POST /2020-01-01/extension/register, Headers:map[Content-Length:[34]]
23 Nov 2026 04:29:57,923 [DEBUG] (rapid) API request - GET /2020-01-01/extension/event/next, Headers:map[]
cold line
23 Nov 2026 04:29:57,996 [DEBUG] (rapid) API request - GET /2018-06-01/runtime/invocation/next, Headers:map[Accept:[*/*]]
END RequestId: a8ebe422-c5db-4112-80ab-52f0c5375e6a
REPORT RequestId: a8ebe422-c5db-4112-80ab-52f0c5375e6a\tInit Duration: 0.03 ms\tDuration: 157.92 ms\tBilled Duration: 158 ms
REPORT RequestId: c45558e9-2ad2-483f-af15-27c99035d871\tDuration: 1.73 ms\tBilled Duration: 2 ms\tMemory Size: 3008 MB
"""  # noqa: E501

MANAGED = """\
time=2026-11-23T04:30:47.305Z level=DEBUG msg="API request" method=POST url=/2020-01-01/extension/register headers="map[]"
time=2026-11-23T04:30:47.306Z level=DEBUG msg="API request" method=PUT url=/2022-07-01/telemetry headers="map[]"
time=2026-11-23T04:30:47.368Z level=DEBUG msg="API request" method=GET url=/2018-06-01/runtime/invocation/next headers="map[]"
REPORT RequestId: bbdf10ab-fc72-44be-9a7b-b6d470cc3b64\tDuration: 1.19 ms
time=2026-11-23T04:30:48.569Z level=DEBUG msg="Received event" event="{Time:2026-11-23T04:30:48.569Z Event:{EvType:process_termination Name:runtime Cause:signaled Signo:15 ExitStatus:<nil> Size:<nil>}}"
time=2026-11-23T04:30:48.888Z level=DEBUG msg="Received event" event="{Time:2026-11-23T04:30:48.888Z Event:{EvType:process_termination Name:extension-tester Cause:exited Signo:<nil> ExitStatus:5 Size:<nil>}}"
time=2026-11-23T04:30:49.888Z level=DEBUG msg="Received event" event="{Time:2026-11-23T04:30:49.888Z Event:{EvType:process_termination Name:extension-tester Cause:signaled Signo:9 ExitStatus:<nil> Size:<nil>}}"
"""  # noqa: E501


def test_the_log_of_the_standard_emulator_has_calls_and_durations() -> None:
    assert api_calls(STANDARD) == ["POST /2020-01-01/extension/register", "GET /2020-01-01/extension/event/next"]
    assert durations_ms(STANDARD) == [157.92, 1.73]


def test_the_log_of_managed_instances_has_exit_statuses_too() -> None:
    assert api_calls(MANAGED) == ["POST /2020-01-01/extension/register", "PUT /2022-07-01/telemetry"]
    assert durations_ms(MANAGED) == [1.19]
    assert managed_exits(MANAGED, "tester") == [
        ProcessExit(ended_unix_s=1795408248.888, exit_status=5),
        ProcessExit(ended_unix_s=1795408249.888, exit_status=-9),
    ]
