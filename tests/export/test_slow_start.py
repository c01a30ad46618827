from math import inf

from telemetry_forwarder.export.slow_start import SlowStart


def test_without_a_failure_there_is_no_limit() -> None:
    slow_start = SlowStart()

    slow_start.succeeded()

    assert (slow_start.is_limited, slow_start.most_bytes) == (False, inf)


def test_after_a_failure_the_limit_doubles_with_each_success_until_there_is_none() -> None:
    slow_start = SlowStart()
    slow_start.failed()
    limits = []

    while slow_start.is_limited:
        limits.append(slow_start.most_bytes)
        slow_start.succeeded()

    assert limits == [262_144, 524_288, 1_048_576, 2_097_152, 4_194_304]
