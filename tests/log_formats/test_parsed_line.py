from typing import Any

import pytest

from telemetry_forwarder.log_formats.attribute_names import REQUEST_ID
from telemetry_forwarder.log_formats.parsed_line import parsed_line, reconcile, reconcile_time
from tests.support.lines import ID, ISO, TIME_NS

S = 1_000_000_000
OTHER_ID = "00000000-0000-0000-0000-000000000001"


def test_a_line_has_only_a_body_by_default() -> None:
    line = parsed_line("hello")

    assert (line.body, line.severity_number, line.request_id, line.attributes) == ("hello", 0, "", {})
    assert line == parsed_line("hello")
    assert line != parsed_line("hello", trace_id="a")


def test_a_copy_has_the_changes_and_leaves_the_original() -> None:
    line = parsed_line("hello", severity_number=9, own_time=("timestamp", ISO))

    changed = line.replace(body="raw", is_uncaught_exception=True)

    assert changed == parsed_line("raw", severity_number=9, own_time=("timestamp", ISO), is_uncaught_exception=True)
    assert line.body == "hello"


@pytest.mark.parametrize(
    ("attributes", "exception_type"),
    [({}, ""), ({"exception.type": "KeyError"}, "KeyError"), ({"exception.type": 5}, "5")],
)
def test_exception_type_is_text(attributes: dict[str, Any], exception_type: str) -> None:
    assert parsed_line("", attributes=attributes).exception_type == exception_type


def test_exception_message_is_text() -> None:
    assert parsed_line("", attributes={"exception.message": 5}).exception_message == "5"
    assert parsed_line("").exception_message == ""


@pytest.mark.parametrize(
    ("request_id", "has_runtime_format", "is_likely"),
    [(ID, True, True), (ID, False, False), ("order-5", True, False), ("", True, False)],
)
def test_a_likely_request_id_is_a_uuid_in_a_runtimes_format(
    request_id: str, has_runtime_format: bool, is_likely: bool
) -> None:
    line = parsed_line("", request_id=request_id, has_runtime_format=has_runtime_format)

    assert line.has_likely_request_id is is_likely


@pytest.mark.parametrize(
    ("own_ns", "event_ns", "expected_ns"),
    [
        (TIME_NS, 0, TIME_NS),
        (0, TIME_NS, 0),
        (TIME_NS, TIME_NS, TIME_NS),
        (TIME_NS - 900 * S, TIME_NS, TIME_NS - 900 * S),
        (TIME_NS - 900 * S - 1, TIME_NS, 0),
        (TIME_NS + 60 * S, TIME_NS, TIME_NS + 60 * S),
        (TIME_NS + 60 * S + 1, TIME_NS, 0),
        # A time without a fraction is exact only to the second.
        (TIME_NS // S * S, TIME_NS, TIME_NS),
        (TIME_NS // S * S - S, TIME_NS, TIME_NS // S * S - S),
    ],
)
def test_a_lines_own_time_is_used_if_it_is_plausible(own_ns: int, event_ns: int, expected_ns: int) -> None:
    assert reconcile_time(own_ns, event_ns=event_ns) == expected_ns


@pytest.mark.parametrize(
    ("known", "event_ns", "owner_id", "expected"),
    [
        pytest.param({}, 0, "", (0, "", {}), id="nothing is known"),
        pytest.param({}, TIME_NS, ID, (TIME_NS, ID, {}), id="only Lambda's values"),
        pytest.param({"time_ns": TIME_NS, "request_id": ID}, TIME_NS, ID, (TIME_NS, ID, {}), id="both agree"),
        pytest.param(
            {"time_ns": S, "own_time": ("ts", 1)}, TIME_NS, "", (TIME_NS, "", {"ts": 1}), id="implausible time"
        ),
        pytest.param({"time_ns": S}, TIME_NS, "", (TIME_NS, "", {}), id="implausible time that the body contains"),
        pytest.param(
            {"request_id": OTHER_ID, "request_id_key": "requestId"}, 0, ID, (0, ID, {"requestId": OTHER_ID}),
            id="another request id",
        ),
        pytest.param({"request_id": OTHER_ID}, 0, ID, (0, ID, {}), id="another request id that the body contains"),
        pytest.param(
            {"request_id": "order-5", "request_id_key": "request_id"}, 0, "", (0, "", {"request_id": "order-5"}),
            id="an unlikely request id without an invocation",
        ),
        pytest.param(
            {"request_id": OTHER_ID, "has_runtime_format": True}, 0, "", (0, OTHER_ID, {}),
            id="a likely request id without an invocation",
        ),
        pytest.param(
            {"request_id": "mine", "request_id_key": REQUEST_ID}, 0, ID, (0, ID, {f"lambda.line.{REQUEST_ID}": "mine"}),
            id="a key of the same name",
        ),
        pytest.param(
            {"time_ns": 1, "own_time": ("time", 1), "attributes": {"time": 2}}, TIME_NS, "",
            (TIME_NS, "", {"time": 2, "lambda.line.time": 1}),
            id="a key that is taken",
        ),
    ],
)  # fmt: skip
def test_lambdas_values_win_and_the_lines_own_are_kept(
    known: dict[str, Any], event_ns: int, owner_id: str, expected: tuple[int, str, dict[str, Any]]
) -> None:
    line = parsed_line("hello", **known)
    before = dict(line.attributes)

    assert reconcile(line, event_ns=event_ns, owner_id=owner_id) == expected
    assert line.attributes == before
