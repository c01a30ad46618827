"""Both paths produce the same bytes."""

from datetime import UTC, datetime
from itertools import product
from random import Random
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.conversion.fast_path import FastPath
from telemetry_forwarder.core.batch import Batch
from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.log_formats.parser import read_line
from telemetry_forwarder.otlp.log_encoding import encode_observed_time
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.otlp.resource import CurrentResource
from telemetry_forwarder.telemetry.decoder import read_record
from telemetry_forwarder.telemetry.records import LogLine, Tracing
from tests.support.posts import MOMENT, MOMENT_NS, MS, OBSERVED_NS

ID, OTHER_ID = "8286a188-ba32-4475-8077-530cd35c09a9", "3d1bd5e6-ba32-4475-8077-000000000000"
ORDINARY = f"[INFO]\t2026-09-22T06:30:00.123Z\t{ID}\thello\n"


class Logs:
    """Encodes lines of one invocation."""

    def __init__(self, *, uses_fast_path: bool) -> None:
        self._encoder = LogEncoder(CurrentResource(Resource({})), "1", batch_bytes=1 << 20, batch_items=1 << 20)
        self._fast_path = FastPath(self._encoder) if uses_fast_path else None
        self.invocation = Invocation(ID, trace_id="ab" * 16, span_id="cd" * 8, tracing=Tracing(), start_ns=1)
        self.invocation.has_start = True
        self.fast_count = 0

    def add(self, record: Any, time_ns: int = MOMENT_NS) -> None:
        self.add_event({"time": moment_of(time_ns), "type": "function", "record": record})

    def add_event(self, event: dict[str, Any]) -> None:
        if self.convert_fast(event):
            self.fast_count += 1
            return
        record = read_record(event, OBSERVED_NS)
        assert isinstance(record, LogLine)
        line = read_line(record.record)
        self.invocation.last_line_ns = max(self.invocation.last_line_ns, record.time_ns)
        fixed = self._encoder.add_line(record, line, self.invocation)
        if self._fast_path:
            self._fast_path.learn(record, line, fixed=fixed, invocation=self.invocation)

    def convert_fast(self, event: Any) -> bool:
        return self._fast_path is not None and self._fast_path.convert(event, encode_observed_time(OBSERVED_NS))

    def forget(self) -> None:
        if self._fast_path:
            self._fast_path.forget()

    def take(self) -> list[Batch]:
        return self._encoder.take()


def moment_of(time_ns: int) -> str:
    """Return a time as Lambda writes it; 0 is no time."""
    at = datetime.fromtimestamp(time_ns // MS / 1_000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if time_ns else "soon"


MOMENTS = [
    "2026-09-22T06:30:00.123Z",
    "2026-09-22T06:30:00.456Z",
    "2026-09-22T06:30:00.000Z",
    "2026-09-22T06:30:00Z",
    "2026-09-22 06:30:00,123",
]
ODD_MOMENTS = ["2026-09-21T06:30:00.123Z", "2026-09-22T09:30:00.123Z", " 2026-09-22T06:30:00.123Z", "soon", ""]
LEVELS = [*["INFO"] * 12, "[INFO]", "WARN", "ERROR", "info", "DEBUG", "nobody's", "", "Information"]
IDS = [*[ID] * 12, OTHER_ID, "undefined", "", "an id"]
ENDS = ["\n", "\n", "", "\r\n", "\n\n", "\r", "\t\n"]
TEXTS = [
    *["hello, world"] * 8,
    "hello",
    "héllo ✓",
    "",
    '{"level":"INFO"}',
    "TypeError: no\n    at f (a.js:1:1)",
    "\thello",
    "one\rtwo",
    "\ud800",
    "java.lang.OutOfMemoryError: Java heap space",
    "traced order=7",
    "hello trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331",
    "trace_id=0af7651916cd43dd8448eb211c80319c hello",
]
VALUES = [*TEXTS, "x" * 65, None, True, 0, 127, 128, 16_383, 16_384, -1, 2**70, 0.5, [1, 2], [], {"a": 1}]
TIMES = [0, *[MOMENT_NS] * 6, MOMENT_NS + 5 * MS, MOMENT_NS - 2 * MS, MOMENT_NS + 900 * MS]
KEYS = ["logger", "customer", "errorType", "traceId", "msg"]


def random_line(random: Random) -> Any:
    """Return most often an ordinary line, otherwise almost one."""
    is_odd = random.random() < 0.1
    moment = random.choice(ODD_MOMENTS if is_odd else MOMENTS)
    level, id_ = random.choice(LEVELS), random.choice(IDS)
    text, end = random.choice(TEXTS), random.choice(ENDS)
    if random.random() < 0.5:
        return random.choice(
            [
                f"[{level}]\t{moment}\t{id_}\t{text}{end}",
                f"{moment}\t{id_}\t{level}\t{text}{end}",
                f"{text}{end}",
                f'{{"timestamp":"{moment}","level":"{level}","requestId":"{id_}","message":"a\tb\tc"}}',
            ][: 4 if is_odd else 2]
        )
    object_: dict[str, Any] = {"timestamp": moment, "level": level, "message": text, "requestId": id_}
    if random.random() < 0.1:
        object_[random.choice([*object_])] = random.choice(VALUES)
    if random.random() < 0.1:
        object_["timestamp"] = random.choice([1_790_058_600_123, 1_790_058_600.5])
    if random.random() < 0.05:
        object_["instant"] = {"epochSecond": 1_790_058_600, "nanoOfSecond": 123_000_000}
    return object_ | {key: random.choice(VALUES) for key in KEYS[:2] if random.random() < 0.9}


@pytest.mark.parametrize("seed", range(20))
def test_fast_path_encodes_the_same(seed: int) -> None:
    random = Random(seed)
    both = Logs(uses_fast_path=True), Logs(uses_fast_path=False)

    for _ in range(500):
        line, time_ns = random_line(random), random.choice(TIMES)
        is_news = random.random() < 0.01
        for logs in both:
            if is_news:
                logs.forget()
            logs.add(line, time_ns)
            assert logs.invocation.last_line_ns == both[0].invocation.last_line_ns

    assert both[0].take() == both[1].take()
    assert both[0].fast_count > 50


@pytest.mark.parametrize(
    "ordinary",
    [
        "[INFO]\t2026-09-22T06:30:00.123Z\t{}\thello\n",
        "2026-09-22T06:30:00.123Z\t{}\tINFO\thello\n",
        "2026-09-22T06:30:00.123Z\t{}\tinfo\thello",
    ],
)
def test_second_line_of_a_kind_takes_the_fast_path(ordinary: str) -> None:
    logs = Logs(uses_fast_path=True)

    for _ in range(3):
        logs.add(ordinary.format(ID), 1_790_058_600_125 * MS)

    assert logs.fast_count == 2


def test_second_object_of_a_kind_takes_the_fast_path() -> None:
    logs = Logs(uses_fast_path=True)

    for number in range(3):
        record = {"timestamp": "2026-09-22T06:30:00Z", "level": "INFO", "message": "hello", "requestId": ID}
        logs.add({**record, "number": number}, 1_790_058_600_125 * MS)

    assert logs.fast_count == 2


def test_remembered_loggers_are_bounded() -> None:
    logs = Logs(uses_fast_path=True)

    for number in (*range(16), 0, 16, 0):
        record = {"timestamp": "2026-09-22T06:30:00Z", "level": "INFO", "message": "hello", "requestId": ID}
        logs.add({**record, f"of {number}": number}, 1_790_058_600_125 * MS)

    assert logs.fast_count == 1


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(f"[ERROR]\t2026-09-22T06:30:00.123Z\t{ID}\thello\n", id="error"),
        pytest.param(f"[INFO]\t2026-09-22T06:30:00.123Z\t{OTHER_ID}\thello\n", id="another's id"),
        pytest.param("hello\n", id="a print"),
        pytest.param(f"[INFO]\tsoon\t{ID}\thello\n", id="no moment"),
        pytest.param(f"2026-09-22 06:30:00 {ID} INFO  hello\n", id="Java's format"),
        pytest.param(f"2026-09-22 06:30:00 {ID} INFO  a\tb\tc\td\n", id="Java's format with tabs"),
        pytest.param(
            {"level": "INFO", "message": "hello", "requestId": ID, "timestamp": MOMENT}
            | {f"key {number}": number for number in range(40)},
            id="too many keys",
        ),
        pytest.param(
            {"level": "INFO", "message": "hello", "requestId": ID}
            | {"instant": {"epochSecond": 1_790_058_600, "nanoOfSecond": 123_000_000}},
            id="a time that is no text",
        ),
        pytest.param({"level": "INFO", "message": "hello", "requestId": ID}, id="a field less"),
    ],
)
def test_other_lines_take_the_general_path(odd: Any) -> None:
    logs = Logs(uses_fast_path=True)

    for _ in range(3):
        logs.add(odd)

    assert logs.fast_count == 0


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"time": MOMENT, "type": "extension", "record": ORDINARY}, id="an extension's"),
        pytest.param({"time": MOMENT, "type": ["function"], "record": ORDINARY}, id="a list for a type"),
        pytest.param({"time": "soon", "type": "function", "record": ORDINARY}, id="no moment"),
        pytest.param({"type": "function", "record": ORDINARY}, id="no time"),
        pytest.param({"time": MOMENT, "type": "function", "record": ORDINARY, "more": 1}, id="more members"),
        pytest.param({"time": MOMENT, "type": "function", "more": ORDINARY}, id="no record"),
        pytest.param([MOMENT, "function", ORDINARY], id="a list"),
        pytest.param(ORDINARY, id="a text"),
        pytest.param(None, id="nothing"),
    ],
)
def test_malformed_event_takes_the_general_path(odd: Any) -> None:
    logs = Logs(uses_fast_path=True)

    logs.add(ORDINARY)

    assert logs.convert_fast({"time": MOMENT, "type": "function", "record": ORDINARY})
    assert not logs.convert_fast(odd)


def test_number_equal_to_the_time_of_the_event_is_not_the_same_moment() -> None:
    both = Logs(uses_fast_path=True), Logs(uses_fast_path=False)
    record = {"timestamp": 1_790_058_600_123_456_768, "level": "INFO", "message": "hello", "requestId": ID}

    for logs in both:
        for _ in range(3):
            logs.add_event({"time": 1_790_058_600_123_456_768.0, "type": "function", "record": record})

    assert both[0].take() == both[1].take()


def test_forgotten_lines_take_the_general_path() -> None:
    logs = Logs(uses_fast_path=True)

    logs.add(ORDINARY, 1_790_058_600_125 * MS)
    logs.forget()
    logs.add(ORDINARY, 1_790_058_600_125 * MS)

    assert logs.fast_count == 0


def test_remembered_levels_are_bounded() -> None:
    logs = Logs(uses_fast_path=True)
    spellings = ["".join(letters) for letters in product(*zip("information", "INFORMATION", strict=True))]

    for level in [*spellings[:256], spellings[0], *spellings[256:258], spellings[0]]:
        logs.add(f"2026-09-22T06:30:00.123Z\t{ID}\t{level}\thello\n")

    assert logs.fast_count == 1
