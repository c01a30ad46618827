from telemetry_forwarder.flushing.decisions import Mode, Step


def test_modes_are_named_as_in_the_setting() -> None:
    assert [mode.value for mode in Mode] == ["auto", "end", "every", "shutdown"]


def test_step_only_waits_by_default() -> None:
    assert Step(may_call_next=True) == Step(
        may_call_next=True, flush=None, wake_in_s=None, should_spool=False, is_over=False
    )
