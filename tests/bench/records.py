"""`records`: CPU per log record, from the body on the listener's socket to gzip OTLP on the wire."""

import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tests.bench.driven_extension import DrivenExtension, driven_extension
from tests.bench.figures import Figure, comparison, median
from tests.bench.measuring import Case, interleaved
from tests.bench.sink import Sink
from tests.bench.trees import Tree

_GOALS = {"text": "<= 8", "json": "<= 11"}
BATCHES = (100, 1_000, 10_000)
_REQUEST_ID = str(uuid.uuid4())
_BEGIN = datetime.now(UTC)


def moment(number: int) -> str:
    """Return the time of a line: one is printed each millisecond."""
    at = _BEGIN + timedelta(milliseconds=number)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def post_of(kind: str, numbers: range) -> bytes:
    """Return a body with one line of *kind* for each number; the event has the time of the line."""
    return orjson.dumps(
        [{"time": moment(number), "type": "function", "record": KINDS[kind](number)} for number in numbers]
    )


def posts_of(kind: str, batch: int, records: int) -> list[bytes]:
    """Return *records* lines of *kind* in bodies of *batch* each."""
    return [post_of(kind, range(start, start + batch)) for start in range(0, records, batch)]


def text(number: int) -> str:
    """Return a line of Python's logger in the text format, 150 bytes."""
    words = f"order {number} of customer {number * 7919 % 10_000} took {number % 300} ms: ok"
    return f"[INFO]\t{moment(number)}\t{_REQUEST_ID}\t{words}, paid by card\n"


def json(number: int) -> dict[str, Any]:
    """Return a line in the JSON format with six keys."""
    return {
        "timestamp": moment(number),
        "level": "INFO",
        "message": f"order {number} took {number % 300} ms: ok, paid by card",
        "logger": "root",
        "requestId": _REQUEST_ID,
        "customer": number * 7919 % 10_000,
    }


def mixed(number: int) -> Any:
    """Return one of the lines that functions print: Python's, Node's and Java's loggers, print, Powertools, JSON."""
    at = moment(number)
    return (
        text(number),
        json(number),
        f"{at}\t{_REQUEST_ID}\tINFO\tcart {number} checked out\n",
        f"printed {number}, which no format knows\n",
        f"2026-09-22 06:30:00 {_REQUEST_ID} WARN  com.example.Cart - item {number} is out of stock\n",
        {**json(number), "service": "cart", "cold_start": False, "items": [{"id": number, "price": 9.99}]},
        f"[ERROR]\t{at}\t{_REQUEST_ID}\tno such order: {number}\n",
        f'{{"level":"info","ts":{time.time():.3f},"msg":"GET /orders/{number}","status":200}}\n',
    )[number % 8]


KINDS: dict[str, Callable[[int], Any]] = {"text": text, "json": json, "mixed": mixed}


def forward(extension: DrivenExtension, posts: Iterable[bytes]) -> None:
    """Post *posts* in one invocation, the one that their lines name, and wait until its flush has ended."""
    extension.begin(_REQUEST_ID)
    for post in posts:
        extension.post(post)
    extension.end(_REQUEST_ID)


def records_case(tree: Tree, kind: str, batch: int, records: int) -> Case:
    """Post *records*, *batch* at a time, in one long invocation; requests of the same size are sent."""

    def case() -> dict[str, float]:
        posts = posts_of(kind, batch, records)
        # While it runs, an invocation limits conversions, but none is frozen here: its end waits for all records.
        more = {
            "TELEMETRY_FORWARDER_BATCH_ITEMS": str(batch),
            "TELEMETRY_FORWARDER_FLUSH": "end",
            "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "60000",
        }
        with Sink() as sink, driven_extension(tree, sink, more | {"TUTORIAL_BATCH": str(batch)}) as extension:
            began_s, before = time.monotonic(), extension.cpu_ms
            forward(extension, posts)
            spent = extension.shut_down() - before
            wall = (time.monotonic() - began_s) * 1_000_000
            arrived = sink.items()
            sent = len(posts) * batch
            if arrived != sent:
                raise RuntimeError(f"{arrived} of {sent} {kind} records arrived from {tree.name}")
            return {"cpu": spent * 1_000 / sent, "wall": wall / sent}

    return case


def run(trees: list[Tree], tutorial: Tree, rounds: int, records: int = 30_000) -> list[Figure]:
    cases: dict[str, Case] = {
        f"{kind} {batch} {tree.name}": records_case(tree, kind, batch, records)
        for tree in trees
        for kind in KINDS
        for batch in BATCHES
    }
    cases |= {f"{kind} 1000 sdk": records_case(tutorial, kind, 1_000, records // 3) for kind in ("text", "json")}
    readings = interleaved(cases, rounds)
    figures = []
    for name, reading in readings.items():
        kind, batch, who = name.split()
        sdk = readings.get(f"{kind} 1000 sdk") if batch == "1000" and who != "sdk" else None
        cpu = median(reading["cpu"])
        wall = f"wall {median(reading['wall']):.1f} us"
        goal = _GOALS.get(kind, "") if batch == "1000" and who != "sdk" else ""
        figures.append(Figure(name=f"CPU per record: {name}", value=cpu, unit="us", goal=goal, note=wall))
        if sdk:
            figures.append(
                Figure(
                    name=f"the SDK's CPU compared with ours: {kind} {who}",
                    value=median(sdk["cpu"]),
                    unit="us",
                    reference="ours",
                    reference_value=cpu,
                    goal="ratio >= 3",
                )
            )
    return figures + comparison(readings, [tree.name for tree in trees], "us")
