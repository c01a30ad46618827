"""The story has every span and log line once, in one tree for each invocation."""

import pytest

from tests.demo.messages import invocation_span, log, moment, span
from tests.demo.story import KINDS, Invocation, Line, duration, read, short


def shape(invocation: Invocation) -> list[tuple[int, str]]:
    """Return depth and name, or body, of each row."""
    return [(row.depth, row.item.body if isinstance(row.item, Line) else row.item.name) for row in invocation.rows]


def test_spans_and_log_lines_form_a_tree_in_the_order_of_time() -> None:
    messages = [
        log("paid", at=1080, parent=1),
        span("runtimeOverhead", 5, at=(1090, 1091), parent=1),
        span("responseLatency", 4, at=(1000, 1090), parent=1),
        invocation_span(1, at=(1000, 1091)),
        span("initRuntime", 3, at=(0, 500), parent=2),
        span("init", 2, at=(0, 900), parent=1),
        log("received", at=1001, parent=1),
    ]

    [invocation] = read(messages).invocations

    assert shape(invocation) == [
        (0, "orders"),
        (1, "init"),
        (2, "initRuntime"),
        (1, "responseLatency"),
        (1, "received"),
        (1, "paid"),
        (1, "runtimeOverhead"),
    ]
    assert (invocation.start_ns, invocation.end_ns) == (moment(0), moment(1091))


def test_lines_of_an_init_stand_under_the_part_of_it_in_which_they_were_logged() -> None:
    messages = [
        invocation_span(1, at=(1000, 1100)),
        span("init", 2, at=(0, 900), parent=1),
        span("initRuntime", 3, at=(0, 500), parent=2),
        log("loaded", at=400),
        log("ready", at=800, scope="aws.lambda.platform"),
        span("responseLatency", 4, at=(940, 1090), parent=1),
        log("between", at=950),
    ]

    [invocation] = read(messages).invocations

    assert shape(invocation) == [
        (0, "orders"),
        (1, "init"),
        (2, "initRuntime"),
        (3, "loaded"),
        (2, "ready"),
        (1, "responseLatency"),
        (1, "between"),
    ]


def test_line_without_a_trace_belongs_to_the_invocation_that_ends_next() -> None:
    messages = [
        invocation_span(1, at=(0, 10), trace=1),
        invocation_span(2, at=(100, 110), trace=2),
        log("second init", at=50),
        log("during the second", at=105),
        log("after the end", at=200),
    ]

    story = read(messages)

    assert [shape(invocation) for invocation in story.invocations] == [
        [(0, "orders")],
        [(0, "orders"), (1, "second init"), (1, "during the second")],
    ]
    assert [item.body for item in story.others if isinstance(item, Line)] == ["after the end"]


def test_span_whose_parent_has_not_arrived_is_a_tree_of_its_own() -> None:
    messages = [
        invocation_span(1, at=(0, 10)),
        span("lost", 3, at=(1, 2), parent=99),
        span("child", 4, at=(1, 2), parent=3),
    ]

    [invocation] = read(messages).invocations

    assert shape(invocation) == [(0, "orders"), (0, "lost"), (1, "child")]


def test_spans_of_the_function_itself_are_part_of_the_tree_with_their_log_lines() -> None:
    messages = [
        invocation_span(1, at=(0, 10)),
        span("handler", 2, at=(1, 9), parent=1, scope="orders.sdk", faas__invocation_id="request-1"),
        span("charge", 3, at=(2, 8), parent=2, scope="orders.sdk"),
        log("charging", at=3, parent=3),
    ]

    [invocation] = read(messages).invocations

    assert shape(invocation) == [(0, "orders"), (1, "handler"), (2, "charge"), (3, "charging")]
    assert [invocation.kind(row.item) for row in invocation.rows] == ["succeeded", "function", "function", "info"]


@pytest.mark.parametrize(
    ("error", "error_type", "outcome", "kind"),
    [
        (None, None, "succeeded in 250 ms", "succeeded"),
        ("declined", "CardDeclinedError", "failed after 250 ms: CardDeclinedError", "failed"),
        ("declined", None, "failed after 250 ms: declined", "failed"),
        ("", "timeout", "timed out after 250 ms", "failed"),
    ],
)
def test_outcome_is_that_of_the_invocations_span(
    error: str | None, error_type: str | None, outcome: str, kind: str
) -> None:
    attributes = {"error__type": error_type} if error_type else {}

    [invocation] = read([invocation_span(1, at=(0, 250), error=error, **attributes)]).invocations

    assert (invocation.outcome, invocation.kind(invocation.span)) == (outcome, kind)


@pytest.mark.parametrize(
    ("severity", "scope", "kind"),
    [
        ("INFO", "aws.lambda.function", "info"),
        ("", "aws.lambda.function", "info"),
        ("WARNING", "aws.lambda.function", "warning"),
        ("CRITICAL", "aws.lambda.function", "error"),
        ("INFO", "aws.lambda.platform", "platform"),
        ("INFO", "aws.lambda.extension", "platform"),
    ],
)
def test_kind_of_a_line_is_its_severity_or_its_source(severity: str, scope: str, kind: str) -> None:
    messages = [invocation_span(1, at=(0, 10)), log("line", at=1, parent=1, severity=severity, scope=scope)]

    [invocation] = read(messages).invocations

    assert invocation.kind(invocation.rows[1].item) == kind
    assert kind in KINDS


def test_fields_of_a_line_are_those_that_the_function_logged() -> None:
    messages = [
        invocation_span(1, at=(0, 10)),
        log("first\nsecond", at=1, parent=1, order=7, faas__invocation_id="request-1", exception__type="E"),
    ]

    [invocation] = read(messages).invocations

    line = invocation.rows[1].item
    assert isinstance(line, Line)
    assert (line.summary, line.fields) == ("first", {"order": 7})


def test_short_ids_of_two_traces_of_one_second_differ() -> None:
    assert short("6b0a68a342f7d8394934ff08bfa49d8f") != short("6b0a68a39a648f0c2dcedc8bf0ca6e0e")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 ms"), (0.00001, "<0.1 ms"), (0.0081, "8.1 ms"), (0.0999, "100 ms"), (0.12, "120 ms"), (3.118, "3.12 s")],
)
def test_duration_is_short_and_has_its_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
