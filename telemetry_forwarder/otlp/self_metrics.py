"""Describes our own delivery as metrics, named like those of an OpenTelemetry exporter. Pure."""

from collections.abc import Mapping

from telemetry_forwarder.buffer.ledger import Ledger, Snapshot, Tally
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.core.frozen import frozen

# Each report adds data points to a request.
_INTERVAL_S = 60.0
_INSTRUMENTS = {
    LOGS: ("otel.sdk.exporter.log", "{log_record}"),
    SPANS: ("otel.sdk.exporter.span", "{span}"),
    METRICS: ("otel.sdk.exporter.metric_data_point", "{data_point}"),
}


@frozen
class Measurement:
    """A change to add to an instrument: a counter, or an up-down counter if *is_counter* is false."""

    name: str
    unit: str
    value: int
    attributes: Mapping[str, str]
    is_counter: bool


class SelfMetrics:
    """Measures the changes of the ledger since the last report, at most once a minute."""

    def __init__(self, ledger: Ledger, now_s: float) -> None:
        self._ledger = ledger
        self._reported = ledger.snapshot()
        self._reported_at_s = now_s

    def take(self, now_s: float, *, is_last: bool) -> list[Measurement]:
        """Return the changes since the last report; empty within a minute of it, unless this *is_last*."""
        if not is_last and now_s - self._reported_at_s < _INTERVAL_S:
            return []
        before, self._reported = self._reported, self._ledger.snapshot()
        self._reported_at_s = now_s
        return measure_changes(before=before, after=self._reported)


def measure_changes(*, before: Snapshot, after: Snapshot) -> list[Measurement]:
    """Return what has changed between two snapshots, by the conventions for an exporter's metrics.

    An item is exported once, when its result is known: without `error.type` if the endpoint accepted it, otherwise with
    the reason why it was rejected or dropped. Until then, in memory or on disk, it is in flight.
    https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/
    """
    measurements: list[Measurement] = []
    for old, new in zip(before.tallies, after.tallies, strict=True):
        name, unit = _INSTRUMENTS[new.signal]
        exported_before = _exported(old)
        for error_type, total in _exported(new).items():
            if change := total - exported_before.get(error_type, 0):
                attributes = {"error.type": error_type} if error_type else {}
                measurements.append(Measurement(f"{name}.exported", unit, change, attributes, is_counter=True))
        if change := new.held + new.spooled - old.held - old.spooled:
            measurements.append(Measurement(f"{name}.inflight", unit, change, {}, is_counter=False))
    return measurements


def _exported(tally: Tally) -> dict[str, int]:
    """Return the number of items whose result is known, by `error.type`; delivered ones are under the empty string."""
    totals = {"": tally.delivered, "rejected": tally.rejected}
    for reason, count in tally.dropped.items():
        error_type = reason.replace(" ", "_")
        totals[error_type] = totals.get(error_type, 0) + count
    return totals
