from telemetry_forwarder.core.batch import LOGS, METRICS, POSTS, SIGNALS, SPANS, Batch


def test_signals_are_named_as_in_the_paths_of_otlp() -> None:
    assert [f"/v1/{signal}" for signal in SIGNALS] == ["/v1/logs", "/v1/traces", "/v1/metrics"]
    assert SIGNALS == (LOGS, SPANS, METRICS)
    assert POSTS not in SIGNALS


def test_batches_with_equal_content_are_equal() -> None:
    assert Batch(LOGS, b"x", 1) == Batch(signal="logs", body=b"x", items=1)
    assert Batch(LOGS, b"x", 1) != Batch(SPANS, b"x", 1)
