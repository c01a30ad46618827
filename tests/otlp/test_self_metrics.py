from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.core.batch import LOGS, SIGNALS
from telemetry_forwarder.otlp.self_metrics import Measurement, SelfMetrics, measure_changes


def test_changes_have_the_names_and_units_of_the_semantic_conventions() -> None:
    ledger = Ledger()
    before = ledger.snapshot()
    for signal in SIGNALS:
        ledger.received(signal, 2)
        ledger.delivered(signal, 1)

    assert measure_changes(before=before, after=ledger.snapshot()) == [
        Measurement("otel.sdk.exporter.log.exported", "{log_record}", 1, {}, is_counter=True),
        Measurement("otel.sdk.exporter.log.inflight", "{log_record}", 1, {}, is_counter=False),
        Measurement("otel.sdk.exporter.span.exported", "{span}", 1, {}, is_counter=True),
        Measurement("otel.sdk.exporter.span.inflight", "{span}", 1, {}, is_counter=False),
        Measurement("otel.sdk.exporter.metric_data_point.exported", "{data_point}", 1, {}, is_counter=True),
        Measurement("otel.sdk.exporter.metric_data_point.inflight", "{data_point}", 1, {}, is_counter=False),
    ]


def test_changes_name_the_reason_of_a_failed_export() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 10)
    ledger.dropped(LOGS, 1, "outbox full")
    before = ledger.snapshot()

    ledger.dropped(LOGS, 2, "outbox full")
    ledger.rejected(LOGS, 3)

    name, unit = "otel.sdk.exporter.log.exported", "{log_record}"
    assert measure_changes(before=before, after=ledger.snapshot()) == [
        Measurement(name, unit, 3, {"error.type": "rejected"}, is_counter=True),
        Measurement(name, unit, 2, {"error.type": "outbox_full"}, is_counter=True),
        Measurement("otel.sdk.exporter.log.inflight", unit, -5, {}, is_counter=False),
    ]


def test_spooled_items_stay_in_flight() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 10)
    before = ledger.snapshot()

    ledger.spooled(LOGS, 10)

    assert measure_changes(before=before, after=ledger.snapshot()) == []


def test_changes_are_reported_once_a_minute_and_at_the_end() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 1)
    own = SelfMetrics(ledger, 1_000.0)
    calls = [(1_059.0, False), (1_060.0, False), (1_119.0, False), (1_120.0, False), (1_121.0, True)]

    reported: list[list[int]] = []
    for now_s, is_last in calls:
        ledger.received(LOGS, 2)
        reported.append([each.value for each in own.take(now_s, is_last=is_last)])

    assert reported == [[], [4], [], [4], [2]]
