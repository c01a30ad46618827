"""The state of our own delivery as metrics, by the names that OpenTelemetry gives to an exporter's. Pure."""

from collections.abc import Mapping

from telemetry_forwarder.buffer.ledger import Ledger, Snapshot, Tally
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.core.frozen import frozen

# Each of them is a data point more in a request.
_EVERY_S = 60.0


@frozen
class Measurement:
    """A change to add to an instrument: a counter, or an up-down counter where *is_counter* is false."""

    name: str
    unit: str
    value: int
    attributes: Mapping[str, str]
    is_counter: bool


class SelfMetrics:
    """What has changed since it was last asked, which is seldom answered."""

    def __init__(self, ledger: Ledger, now_s: float) -> None:
        self._ledger = ledger
        self._told = ledger.snapshot()
        self._told_at_s = now_s

    def take(self, now_s: float, *, is_last: bool) -> list[Measurement]:
        """None before it is time, unless this *is_last*."""
        if not is_last and now_s - self._told_at_s < _EVERY_S:
            return []
        before, self._told = self._told, self._ledger.snapshot()
        self._told_at_s = now_s
        return changes(before, self._told)


def changes(before: Snapshot, after: Snapshot) -> list[Measurement]:
    """What our own metrics have to add, by the names that OpenTelemetry gives to an exporter's state.

    An item is exported once, when its fate is known: without `error.type` when the endpoint took it, with
    the reason when it was rejected or dropped. Until then, in memory or on disk, it is in flight.
    https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/
    """
    measurements: list[Measurement] = []
    for old, new in zip(before.tallies, after.tallies, strict=True):
        name, unit = _INSTRUMENTS[new.signal]
        exported_before = _exported(old)
        for error_type, total in _exported(new).items():
            if change := total - exported_before.get(error_type, 0):
                attributes = {"error.type": error_type} if error_type else {}
                measurements.append(
                    Measurement(f"{name}.exported", unit, change, attributes, is_counter=True)
                )
        if change := new.held + new.spooled - old.held - old.spooled:
            measurements.append(Measurement(f"{name}.inflight", unit, change, {}, is_counter=False))
    return measurements


_INSTRUMENTS = {
    LOGS: ("otel.sdk.exporter.log", "{log_record}"),
    SPANS: ("otel.sdk.exporter.span", "{span}"),
    METRICS: ("otel.sdk.exporter.metric_data_point", "{data_point}"),
}


def _exported(tally: Tally) -> dict[str, int]:
    """Items whose fate is known, by `error.type`; under the empty string those that were delivered."""
    totals = {"": tally.delivered, "rejected": tally.rejected}
    for reason, count in tally.dropped.items():
        error_type = reason.replace(" ", "_")
        totals[error_type] = totals.get(error_type, 0) + count
    return totals
