"""The short way says what the long way says, to the byte."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.batch import Batch
from telemetry_forwarder.formats import read_line
from telemetry_forwarder.invocation import Invocation
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.records import LogLine, Tracing
from telemetry_forwarder.usual_lines import UsualLines
from tests.posts import MOMENT_NS, OBSERVED_NS
from tests.properties import FAST

ID, OTHER_ID = "8286a188-ba32-4475-8077-530cd35c09a9", "3d1bd5e6-ba32-4475-8077-000000000000"
MS = 1_000_000


class Logs:
    """An encoder of lines of one invocation; *takes_short_way* where it can."""

    def __init__(self, *, takes_short_way: bool) -> None:
        self._encoder = LogEncoder(Resource({}), "1", batch_bytes=1 << 20, batch_items=1 << 20)
        self._usual = UsualLines(self._encoder) if takes_short_way else None
        self.invocation = Invocation(
            ID, trace_id="ab" * 16, span_id="cd" * 8, tracing=Tracing(), start_ns=1, has_start=True
        )
        self.short = 0

    def add(self, said: Any, time_ns: int = MOMENT_NS) -> None:
        record = LogLine("function", time_ns, OBSERVED_NS, said)
        if self._usual and self._usual.add(record):
            self.short += 1
            return
        line = read_line(said)
        self.invocation.last_line_ns = max(self.invocation.last_line_ns, time_ns)
        fixed = self._encoder.add_line(record, line, self.invocation)
        if self._usual:
            self._usual.learn(record, line, fixed, self.invocation)

    def forget(self) -> None:
        if self._usual:
            self._usual.forget()

    def take(self) -> list[Batch]:
        return self._encoder.take()


def moments() -> st.SearchStrategy[str]:
    return st.sampled_from(
        [
            "2026-09-22T06:30:00.123Z",
            "2026-09-22T06:30:00.456Z",
            "2026-09-22T06:30:00.000Z",
            "2026-09-22T06:30:00Z",
            "2026-09-21T06:30:00.123Z",
            "2026-09-22T09:30:00.123Z",
            "2026-09-22 06:30:00,123",
            " 2026-09-22T06:30:00.123Z",
            "soon",
            "",
        ]
    )


LEVELS = st.sampled_from(["INFO", "[INFO]", "WARN", "ERROR", "info", "DEBUG", "nobody's", "", "Information"])
IDS = st.sampled_from([ID, ID, ID, OTHER_ID, "undefined", "", "an id"])
ENDS = st.sampled_from(["\n", "", "\r\n", "\n\n", "\r", "\t\n"])
TEXTS = st.one_of(
    st.sampled_from(
        ["said", "", '{"level":"INFO"}', "TypeError: no\n    at f (a.js:1:1)", "\tsaid", "\ud800"]
    ),
    st.text(max_size=8),
)
ALMOST_USUAL = st.one_of(
    st.builds("[INFO]\t{}\t{}\t{}{}".format, moments(), st.just(ID), TEXTS, ENDS),
    st.builds("{}\t{}\tINFO\t{}{}".format, moments(), st.just(ID), TEXTS, ENDS),
)
VALUES = st.one_of(TEXTS, st.none(), st.integers(), st.lists(st.integers(), max_size=2), st.just({"a": 1}))
INSTANTS = st.fixed_dictionaries(
    {
        "instant": st.one_of(moments(), st.just({"epochSecond": 1_790_058_600, "nanoOfSecond": 123_000_000})),
        "level": st.just("INFO"),
        "message": st.just("said"),
        "AWSRequestId": st.just(ID),
    }
)
OBJECTS = st.fixed_dictionaries(
    {
        "timestamp": st.one_of(
            moments(), moments(), st.integers(1_790_058_600_000, 1_790_058_600_999), VALUES
        ),
        "level": st.one_of(st.just("INFO"), LEVELS, VALUES),
        "message": st.one_of(TEXTS, VALUES),
        "requestId": st.one_of(st.just(ID), IDS, VALUES),
    },
    optional={"logger": VALUES, "customer": VALUES, "errorType": TEXTS, "traceId": TEXTS, "msg": TEXTS},
)
GOOD_MOMENTS = st.sampled_from(
    ["2026-09-22T06:30:00Z", "2026-09-22T06:30:00.123Z", "2026-09-22T06:30:00.456Z"]
)
ALMOST_USUAL_OBJECTS = st.fixed_dictionaries(
    {
        "timestamp": st.one_of(GOOD_MOMENTS, GOOD_MOMENTS, GOOD_MOMENTS, st.just(1_790_058_600_123)),
        "level": st.just("INFO"),
        "message": st.one_of(TEXTS, TEXTS, TEXTS, VALUES),
        "requestId": st.sampled_from([ID, ID, ID, ID, OTHER_ID]),
        "logger": VALUES,
    }
)
LINES = st.one_of(
    ALMOST_USUAL,
    ALMOST_USUAL_OBJECTS,
    ALMOST_USUAL_OBJECTS,
    ALMOST_USUAL,
    OBJECTS,
    INSTANTS,
    st.builds("[{}]\t{}\t{}\t{}{}".format, LEVELS, moments(), IDS, TEXTS, ENDS),
    st.builds("{}\t{}\t{}\t{}{}".format, moments(), IDS, LEVELS, TEXTS, ENDS),
    st.builds("{}{}".format, TEXTS, ENDS),
    st.builds(
        '{{"timestamp":"{}","level":"{}","requestId":"{}","message":"a\\tb\\tc"}}'.format,
        moments(),
        LEVELS,
        IDS,
    ),
)
TIMES = st.sampled_from([0, MOMENT_NS, MOMENT_NS + 5 * MS, MOMENT_NS - 2 * MS, 1_790_058_600_123 * MS])


# Cases are many: a line is short only after one like it.
@settings(FAST, max_examples=400)
@given(st.lists(st.one_of(st.tuples(LINES, TIMES), st.none()), min_size=2, max_size=30))
def test_short_way_says_the_same(lines: list[tuple[Any, int] | None]) -> None:
    both = Logs(takes_short_way=True), Logs(takes_short_way=False)

    for logs in both:
        for line in lines:
            logs.forget() if line is None else logs.add(*line)

    assert both[0].take() == both[1].take()
    assert both[0].invocation.last_line_ns == both[1].invocation.last_line_ns


@pytest.mark.parametrize(
    "usual",
    [
        "[INFO]\t2026-09-22T06:30:00.123Z\t{}\tsaid\n",
        "2026-09-22T06:30:00.123Z\t{}\tINFO\tsaid\n",
        "2026-09-22T06:30:00.123Z\t{}\tinfo\tsaid",
    ],
)
def test_second_line_of_a_kind_takes_the_short_way(usual: str) -> None:
    logs = Logs(takes_short_way=True)

    for _ in range(3):
        logs.add(usual.format(ID), 1_790_058_600_125 * MS)

    assert logs.short == 2


def test_second_object_of_a_kind_takes_the_short_way() -> None:
    logs = Logs(takes_short_way=True)

    for number in range(3):
        said = {"timestamp": "2026-09-22T06:30:00Z", "level": "INFO", "message": "said", "requestId": ID}
        logs.add({**said, "number": number}, 1_790_058_600_125 * MS)

    assert logs.short == 2


def test_no_more_loggers_are_remembered_than_their_bound() -> None:
    logs = Logs(takes_short_way=True)

    for number in (*range(16), 0, 16, 0):
        said = {"timestamp": "2026-09-22T06:30:00Z", "level": "INFO", "message": "said", "requestId": ID}
        logs.add({**said, f"of {number}": number}, 1_790_058_600_125 * MS)

    assert logs.short == 1


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(f"[ERROR]\t2026-09-22T06:30:00.123Z\t{ID}\tsaid\n", id="error"),
        pytest.param(f"[INFO]\t2026-09-22T06:30:00.123Z\t{OTHER_ID}\tsaid\n", id="another's id"),
        pytest.param("said\n", id="a print"),
        pytest.param(f"[INFO]\tsoon\t{ID}\tsaid\n", id="no moment"),
    ],
)
def test_what_is_not_quite_so_takes_the_long_way(odd: str) -> None:
    logs = Logs(takes_short_way=True)

    for _ in range(3):
        logs.add(odd)

    assert logs.short == 0


def test_what_was_learnt_is_forgotten() -> None:
    logs = Logs(takes_short_way=True)
    line = f"[INFO]\t2026-09-22T06:30:00.123Z\t{ID}\tsaid\n"

    logs.add(line, 1_790_058_600_125 * MS)
    logs.forget()
    logs.add(line, 1_790_058_600_125 * MS)

    assert logs.short == 0


def test_no_more_is_remembered_than_its_bound() -> None:
    logs = Logs(takes_short_way=True)
    spellings = ["".join(letters) for letters in product(*zip("information", "INFORMATION", strict=True))]

    for level in [*spellings[:256], spellings[0], *spellings[256:258], spellings[0]]:
        logs.add(f"2026-09-22T06:30:00.123Z\t{ID}\t{level}\tsaid\n")

    assert logs.short == 1
