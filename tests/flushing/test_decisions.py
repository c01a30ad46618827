from telemetry_forwarder.flushing.decisions import FlushSettings, Mode, Observation, Step


def test_default_settings() -> None:
    assert FlushSettings() == FlushSettings(
        mode=Mode.AUTO,
        interval_s=5.0,
        budget_s=0.5,
        flush_limit_s=10.0,
        release_margin_s=0.2,
        report_wait_s=0.15,
        spool_reserve_s=0.3,
    )


def test_modes_are_named_as_in_the_setting() -> None:
    assert [mode.value for mode in Mode] == ["auto", "end", "every", "shutdown"]


def test_step_only_waits_by_default() -> None:
    assert Step(may_call_next=True) == Step(
        may_call_next=True, flush=None, wake_in_s=None, should_spool=False, is_over=False
    )


def test_observations_with_equal_content_are_equal() -> None:
    observation = Observation(has_unsent=True, is_nearly_full=False, is_circuit_open=False)

    assert observation == Observation(has_unsent=True, is_nearly_full=False, is_circuit_open=False)
    assert observation != Observation(has_unsent=True, is_nearly_full=True, is_circuit_open=False)
