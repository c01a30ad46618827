from telemetry_forwarder.flushing.running_requests import RunningRequests


def test_nothing_runs_before_the_first_invocation() -> None:
    requests = RunningRequests()

    assert (requests.is_running, requests.has_report) == (False, True)


def test_invocation_runs_until_its_own_end() -> None:
    requests = RunningRequests()
    requests.invoked("a")

    requests.runtime_done("b")
    assert requests.is_running

    requests.runtime_done("a")
    assert not requests.is_running


def test_end_of_an_earlier_invocation_does_not_end_the_latest() -> None:
    requests = RunningRequests()
    requests.invoked("a")
    requests.invoked("b")

    requests.runtime_done("a")

    assert requests.is_running


def test_end_that_arrives_before_its_invoke_is_remembered() -> None:
    requests = RunningRequests()

    requests.runtime_done("a")
    requests.invoked("a")

    assert not requests.is_running


def test_retry_with_the_request_id_of_the_first_attempt_runs_again() -> None:
    requests = RunningRequests()
    requests.invoked("a")
    requests.runtime_done("a")
    requests.reported("a")
    requests.runtime_done("a")

    requests.invoked("a")

    assert (requests.is_running, requests.has_report) == (True, False)


def test_report_ends_an_invocation_whose_end_was_lost() -> None:
    requests = RunningRequests()
    requests.invoked("a")

    requests.reported("a")

    assert (requests.is_running, requests.has_report) == (False, True)


def test_report_of_an_unknown_invocation_does_not_count_as_its_end() -> None:
    requests = RunningRequests()

    requests.reported("a")
    requests.invoked("a")

    assert requests.is_running


def test_report_of_an_earlier_invocation_does_not_end_the_latest() -> None:
    requests = RunningRequests()
    requests.invoked("a")
    requests.invoked("b")

    requests.reported("a")

    assert (requests.is_running, requests.has_report) == (True, False)


def test_number_of_known_invocations_is_bounded() -> None:
    requests = RunningRequests()
    requests.runtime_done("early")
    for number in range(64):
        requests.runtime_done(str(number))

    requests.invoked("early")

    assert requests.is_running


def test_early_end_is_remembered_for_64_requests_and_the_oldest_is_forgotten() -> None:
    requests = RunningRequests()
    for number in range(65):
        requests.runtime_done(str(number))

    running = []
    for request_id in ("1", "64", "0"):
        requests.invoked(request_id)
        running.append(requests.is_running)

    assert running == [False, False, True]
