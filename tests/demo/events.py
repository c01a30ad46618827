"""Shows what each event that Lambda sent became, by converting it once more, alone, as the extension does."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import Batch
from telemetry_forwarder.settings import Settings
from tests.support import otlp_messages
from tests.support.otlp_messages import LOGS, METRICS, REQUESTS, SPANS

_PATHS = {"logs": LOGS, "traces": SPANS, "metrics": METRICS}
# A gauge is part of every export after the first report, whatever the event.
_GAUGE, _SOURCE_OF_GAUGE = "lambda.memory_size", "platform.report"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of Lambda's Telemetry API, and the names of what it became."""

    time: str
    type: str
    record: str
    log_records: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


def convert(delivered: Sequence[dict[str, Any]]) -> Iterator[Event]:
    """Yield each event that Lambda delivered, in order."""
    converter = _converter()
    for number, event in enumerate(delivered):
        batches = [*converter.convert(orjson.dumps([event]), number).batches, *converter.collect(number)]
        record = event["record"]
        text = record if isinstance(record, str) else orjson.dumps(record).decode()
        names = _names(batches)
        if event["type"] != _SOURCE_OF_GAUGE:
            names["metrics"] = tuple(name for name in names["metrics"] if name != _GAUGE)
        yield Event(event["time"], event["type"], text, **names)


def _converter() -> Converter:
    ids = itertools.count(1)
    return Converter(
        Settings({}),
        Resource({"faas.name": "orders"}),
        Ledger(),
        version="",
        temporality="delta",
        is_managed=False,
        new_id=lambda size: f"{next(ids):0{size * 2}x}",
        unix_ns=lambda: 0,
    )


def _names(batches: Sequence[Batch]) -> dict[str, tuple[str, ...]]:
    """Return the fields of an `Event` that say what is in *batches*."""
    messages = [(_PATHS[batch.signal], REQUESTS[_PATHS[batch.signal]].FromString(batch.body)) for batch in batches]

    def items(wanted: str, read: Any) -> list[Any]:
        return [item for path, message in messages if path == wanted for _, _, item in read(message)]

    return {
        "log_records": tuple(
            str(otlp_messages.plain(record.body)) for record in items(LOGS, otlp_messages.log_records)
        ),
        "spans": tuple(span.name for span in items(SPANS, otlp_messages.spans)),
        "metrics": tuple(metric.name for metric in items(METRICS, otlp_messages.metrics)),
    }
