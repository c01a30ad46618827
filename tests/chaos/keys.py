"""Keys that identify a record in Lambda's events and in the OTLP that arrives."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.emulator.observations import Event
from tests.support.otlp_messages import LOGS, REQUESTS, Flat, attributes, log_records

_OWN_LINE = "[telemetry-forwarder]"


def keys_of_events(events: Iterable[Event]) -> Counter[str]:
    """Return the keys of all records except the extension's own log lines."""
    return Counter(key for event in events if (key := _key_of_event(event)))


def keys_of_logs(logs: Iterable[Flat]) -> Counter[str]:
    return Counter(_key_of_log(record) for _, _, record in logs)


def keys_of_request(body: bytes) -> Counter[str]:
    return keys_of_logs(log_records(REQUESTS[LOGS].FromString(body)))


def _key_of_event(event: Event) -> str:
    record = event["record"]
    if event["type"].startswith("platform."):
        return f"{event['type']} {record.get('requestId', '')}"
    text = record.get("message", record) if isinstance(record, dict) else record
    return "" if event["type"] == "extension" and str(text).startswith(_OWN_LINE) else str(text)


def _key_of_log(record: Any) -> str:
    if record.event_name:
        return f"{record.event_name} {attributes(record.attributes).get('faas.invocation_id', '')}"
    return str(record.body.string_value)
