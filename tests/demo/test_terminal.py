"""What the demo prints."""

import io
import re

import pytest

from tests.demo import measurements, story, terminal
from tests.demo.example import BOOKS, MESSAGES, SCENES, WRONG_BOOKS
from tests.demo.messages import invocation_span, log
from tests.demo.terminal import Terminal

_COLOUR = re.compile(r"\x1b\[[0-9;]+m")

INVOCATIONS = """\
▆ is a span, ● a log line, both where they were in time. orders: an
invocation, named after the function. init: Lambda starts the environment;
suppressed init: again, within an invocation. responseLatency: until the
response begins. responseDuration: until it is sent. runtimeOverhead: the
runtime, after the response. extensionOverhead: the extension, after the
response.

1  A cold start                                        ✓ succeeded in 160 ms
   Lambda starts <it>.
   trace …00000001, request request-1
   orders              │            ▆▆▆ │  160 ms
     init              │▆▆▆▆▆▆▆▆▆▆▆▆▆   │  800 ms
       initRuntime     │▆▆▆▆▆▆          │  400 ms
         log           │      ●         │ +400 ms  loaded
     INFO              │              ● │ +880 ms  items reserved  order=7
     charge            │              ▆ │   60 ms
     extensionOverhead │               ▆│   40 ms

2  Another invocation               ✗ failed after 100 ms: CardDeclinedError
   trace …00000002, request request-6
   orders              │▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆│  100 ms  declined <b>
     ERROR             │              ● │  +90 ms  CardDeclinedError:
                       │                │          declined <b>"""


def test_invocations_are_waterfalls_with_their_log_lines() -> None:
    drawn = "\n".join(Terminal(width=76).invocations(story.read(MESSAGES), SCENES))

    assert drawn == INVOCATIONS


def test_invocations_that_were_shown_can_be_left_out() -> None:
    drawn = list(Terminal(width=76).invocations(story.read(MESSAGES), SCENES, after=1))

    assert [line for line in drawn if "A cold start" in line or "Another invocation" in line] == [
        "2  Another invocation               ✗ failed after 100 ms: CardDeclinedError"
    ]


def test_metrics_that_matter_are_one_line_each() -> None:
    assert list(Terminal().metrics(measurements.read(MESSAGES))) == [
        "Metrics",
        "  A bar is the highest value of one export, usually of one invocation.",
        "  invocations                1 succeeded, 1 failed, 1 cold starts",
        "  faas.invoke_duration       █▅        100 ms to 160 ms, 260 ms in total",
        "  faas.mem_usage             █         64 MB of 128 MB",
    ]


def test_lines_about_the_platform_take_one_line() -> None:
    text = "EXTENSION Name: telemetry-forwarder State: Ready Events: INVOKE, SHUTDOWN"
    messages = [invocation_span(1, at=(0, 10)), log(text, at=1, parent=1, scope="aws.lambda.platform")]

    assert list(Terminal(80).invocations(story.read(messages), {}))[-1] == (
        "     INFO              │ ●              │ +1.0 ms  EXTENSION Name: telemetry-…"
    )


def test_metrics_that_did_not_arrive_are_named_so() -> None:
    assert list(Terminal().metrics({})) == ["Metrics", "  invocations                no metric has arrived"]


def test_last_line_is_the_ledger() -> None:
    assert list(Terminal().books(BOOKS)) == [
        "Totals: what the extension counted, and what the receiver has",
        "               received  delivered  held  dropped  at the receiver",
        "  log records         3          3     0        0                3",
        "  spans               6          6     0        0                6",
        "  made of 9 events; Lambda sent 9",
        "ledger: received 9 delivered 9 held 0 dropped 0",
    ]


def test_what_is_not_delivered_is_named() -> None:
    assert list(Terminal().books(WRONG_BOOKS))[-2:] == [
        "  not delivered: log records: received 3, delivered 2, held 1, dropped 0, at the receiver 2",
        "ledger: received 3 delivered 2 held 1 dropped 0",
    ]


def test_what_belongs_to_no_invocation_is_counted() -> None:
    messages = [invocation_span(1, at=(0, 10)), log("late", at=20)]

    assert list(Terminal().invocations(story.read(messages), {}))[-1] == (
        "Spans and log records of no invocation above: 1"
    )


def test_lines_of_the_extension_are_shown_but_for_its_ledger() -> None:
    ledger = "[telemetry-forwarder] INFO records received 9; logs received 9"

    assert list(Terminal().extension_lines([ledger, "[telemetry-forwarder] WARNING 401"])) == [
        "The extension logged:",
        "  [telemetry-forwarder] WARNING 401",
        "",
    ]
    assert list(Terminal().extension_lines([ledger])) == []


def test_colours_are_the_only_difference() -> None:
    plain, coloured = Terminal(width=76), Terminal(width=76, has_colours=True)

    lines = [
        list(drawn.invocations(story.read(MESSAGES), SCENES)) + list(drawn.books(BOOKS)) for drawn in (plain, coloured)
    ]

    assert lines[0] == [_COLOUR.sub("", line).rstrip() for line in lines[1]]
    assert not _COLOUR.search("\n".join(lines[0]))
    assert "\x1b[1;31m✗ failed after 100 ms" in "\n".join(lines[1])
    assert "\x1b[35m     charge" in "\n".join(lines[1])


@pytest.mark.parametrize(
    ("is_terminal", "environment", "has_colours"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),  # https://no-color.org: only if it is not empty.
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_colours_need_a_terminal_that_wants_them(
    *, is_terminal: bool, environment: dict[str, str], has_colours: bool
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    assert terminal.of(Stream(), environment).has_colours == has_colours


@pytest.mark.parametrize(("columns", "width"), [("40", 80), ("100", 100), ("300", 140)])
def test_width_is_that_of_the_terminal_within_reason(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert terminal.of(io.StringIO(), {}).width == width


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_line_of_a_waterfall_is_wider_than_the_terminal(width: int) -> None:
    messages = [*MESSAGES, log("long " * 40, at=890, parent=1, trace=1)]

    lines = list(Terminal(width).invocations(story.read(messages), SCENES))

    assert max(len(line) for line in lines) <= width
