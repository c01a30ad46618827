from telemetry_forwarder.flushing.step import Step


def test_step_only_waits_by_default() -> None:
    assert Step(may_call_next=True) == Step(
        may_call_next=True, flush=None, wake_in_s=None, should_spool=False, finishes=False, is_over=False
    )
