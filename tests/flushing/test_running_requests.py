from telemetry_forwarder.flushing.running_requests import RunningRequests


def test_nothing_runs_before_the_first_invocation() -> None:
    ends = RunningRequests()

    assert (ends.is_running, ends.has_report) == (False, True)


def test_invocation_runs_until_its_own_end() -> None:
    ends = RunningRequests()
    ends.invoked("a")

    ends.runtime_done("b")
    assert ends.is_running

    ends.runtime_done("a")
    assert not ends.is_running


def test_end_of_an_earlier_invocation_does_not_end_the_latest() -> None:
    ends = RunningRequests()
    ends.invoked("a")
    ends.invoked("b")

    ends.runtime_done("a")

    assert ends.is_running


def test_end_that_comes_before_its_invoke_is_remembered() -> None:
    ends = RunningRequests()

    ends.runtime_done("a")
    ends.invoked("a")

    assert not ends.is_running


def test_retry_with_the_request_id_of_the_first_attempt_runs_again() -> None:
    ends = RunningRequests()
    ends.invoked("a")
    ends.runtime_done("a")
    ends.reported("a")
    ends.runtime_done("a")

    ends.invoked("a")

    assert (ends.is_running, ends.has_report) == (True, False)


def test_report_ends_an_invocation_whose_end_went_lost() -> None:
    ends = RunningRequests()
    ends.invoked("a")

    ends.reported("a")

    assert (ends.is_running, ends.has_report) == (False, True)


def test_report_of_an_unknown_invocation_is_no_early_end() -> None:
    ends = RunningRequests()

    ends.reported("a")
    ends.invoked("a")

    assert ends.is_running


def test_report_of_an_earlier_invocation_is_not_that_of_the_latest() -> None:
    ends = RunningRequests()
    ends.invoked("a")
    ends.invoked("b")

    ends.reported("a")

    assert (ends.is_running, ends.has_report) == (True, False)


def test_what_is_remembered_is_bounded() -> None:
    ends = RunningRequests()
    ends.runtime_done("early")
    for number in range(64):
        ends.runtime_done(str(number))

    ends.invoked("early")

    assert ends.is_running
