"""Metrics add up: for each event and outcome, and over a day of a thousand invocations."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality as Temporality
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.core.batch import METRICS, Batch
from telemetry_forwarder.invocations.completed import Completed, LateSpans
from telemetry_forwarder.otlp.aggregator import TEMPORALITIES, Aggregator
from telemetry_forwarder.otlp.instruments import COUNTERS, HISTOGRAMS, MEMORY_SIZE
from telemetry_forwarder.otlp.metrics import MetricEncoder
from telemetry_forwarder.otlp.protobuf import escape_surrogates
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.telemetry.records import Event, PhaseSpan
from tests.support.completed import COMPLETED, invocation, phase
from tests.support.otlp_messages import attributes, metrics, points
from tests.support.posts import OBSERVED_NS
from tests.support.properties import FAST
from tests.support.stories import (
    at,
    counted_ids,
    done,
    init_done,
    init_report,
    init_start,
    platform_event,
    report,
    span,
    start,
    tracker,
)

RESOURCE = Resource({"faas.name": "orders"})
MB = 1_048_576


def encoder(
    temporality: str = "delta",
    resource: Resource = RESOURCE,
    *,
    new_id: Callable[[int], str] | None = None,
    unix_ns: Callable[[], int] = lambda: OBSERVED_NS,
) -> MetricEncoder:
    new_id = new_id or counted_ids()
    return MetricEncoder(resource, "1.2", Aggregator(temporality, unix_ns), new_id=new_id)


def read(batch: Batch | None) -> list[tuple[dict[str, Any], Any]]:
    """Return the resource and the metric of all that was encoded."""
    if batch is None:
        return []
    found = metrics(ExportMetricsServiceRequest.FromString(batch.body))
    assert (batch.signal, batch.items) == (METRICS, sum(len(points(metric)) for *_, metric in found))
    assert {(scope.name, scope.version) for _, scope, _ in found} == {("aws.lambda", "1.2")}
    return [(resource, metric) for resource, _, metric in found]


def values(batch: Batch | None) -> dict[str, Any]:
    """Return the values by name and attributes; of a histogram, count and sum."""
    found = {}
    for _, metric in read(batch):
        for point in points(metric):
            name = " ".join([metric.name, *map(str, attributes(point.attributes).values())])
            is_histogram = metric.WhichOneof("data") == "histogram"
            found[name] = (point.count, round(point.sum, 9)) if is_histogram else point.as_int
    return found


def after(*seen: Event | Completed, temporality: str = "delta") -> dict[str, Any]:
    one = encoder(temporality)
    for part in seen:
        if isinstance(part, Event):
            one.observe(part)
        else:
            one.observe_completed([part])
    return values(one.take())


def test_a_report_measures_time_and_memory() -> None:
    event = platform_event(
        "report",
        0,
        metrics={"billedDurationMs": 722, "memorySizeMB": 128, "maxMemoryUsedMB": 96, "restoreDurationMs": 200.5},
    )

    assert after(event) == {
        "lambda.billed_duration": (1, 0.722),
        "lambda.restore_duration": (1, 0.2005),
        "faas.mem_usage": (1, 96 * MB),
        "lambda.memory_size": 128 * MB,
    }


def test_a_report_of_a_managed_instance_measures_less() -> None:
    assert after(platform_event("report", 0, metrics={"durationMs": 5})) == {}


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        ("success", {"faas.invocations": 1, "faas.invoke_duration": (1, 0.2)}),
        ("timeout", {"faas.timeouts": 1, "faas.invoke_duration timeout": (1, 0.2)}),
        ("error", {"faas.errors Runtime.ExitError": 1, "faas.invoke_duration Runtime.ExitError": (1, 0.2)}),
    ],
)
def test_a_failed_init_is_no_failed_invocation(status: str, counted: dict[str, Any]) -> None:
    """Lambda repeats it inside the first invocation, which then counts once, by its own end."""
    failed: dict[str, Any] = {} if status != "error" else {"errorType": "Runtime.ExitError"}
    invocations = tracker(
        init_start(-10_000),
        init_report(-100, duration_ms=9_900, status="timeout"),
        start("a", 0),
        init_start(1, phase="invoke"),
        init_report(95, duration_ms=94, phase="invoke", status=status, **failed),
        done("a", 200, duration_ms=200, status=status, **failed),
        report("a", 201, status=status, **failed),
    )

    second = {"success": "", "timeout": " timeout", "error": " Runtime.ExitError"}[status]
    inits = {"faas.init_duration timeout": (1, 9.9), f"faas.init_duration{second}": (1, 0.094)}
    if status == "timeout":
        inits = {"faas.init_duration timeout": (2, 9.994)}
    assert after(*invocations.take_completed()) == {
        **inits,
        **counted,
        "faas.coldstarts": 1,
        "lambda.produced_bytes": (1, 17),
    }


def test_telemetry_dropped_by_lambda_is_counted() -> None:
    assert after(platform_event("logsDropped", 0, droppedRecords=3, droppedBytes=99)) == {
        "lambda.telemetry.dropped_records": 3,
        "lambda.telemetry.dropped_bytes": 99,
    }


def test_other_events_measure_nothing() -> None:
    assert after(start("a", 0), platform_event("extension", 0), platform_event("restoreStart", 0)) == {}


MEASURED = {"faas.invoke_duration": (1, 0.01), "lambda.produced_bytes": (1, 17)}


@pytest.mark.parametrize(
    ("differences", "counted"),
    [
        ({}, {"faas.invocations": 1}),
        ({"is_cold": True}, {"faas.invocations": 1, "faas.coldstarts": 1}),
        ({"status": ""}, {"faas.invocations": 1}),
        ({"error_type": "ValueError"}, {"faas.errors ValueError": 1}),
        ({"status": "error", "error_type": "Runtime.ExitError"}, {"faas.errors Runtime.ExitError": 1}),
        ({"status": "failure", "error_type": "\ud800"}, {"faas.errors \\ud800": 1}),
        ({"status": "timeout", "error_type": "timeout"}, {"faas.timeouts": 1}),
        (
            {"status": "timeout", "error_type": "timeout", "has_run_out_of_memory": True},
            {"faas.timeouts": 1, "lambda.out_of_memory": 1},
        ),
        (
            {"status": "error", "error_type": "Runtime.OutOfMemory", "has_run_out_of_memory": True},
            {"faas.errors Runtime.OutOfMemory": 1, "lambda.out_of_memory": 1},
        ),
    ],
)
def test_an_invocation_is_counted_by_its_outcome(differences: dict[str, Any], counted: dict[str, int]) -> None:
    # Only a failure has a type.
    error_type = escape_surrogates(differences.get("error_type", ""))
    measured = {f"{name} {error_type}".strip() if "invoke" in name else name: MEASURED[name] for name in MEASURED}

    assert after(invocation(**differences)) == {**measured, **counted}


def test_an_invocation_without_measurements_is_counted() -> None:
    assert after(invocation(duration_s=None, produced_bytes=None)) == {"faas.invocations": 1}


def test_phases_are_measured() -> None:
    names = ("responseLatency", "responseDuration", "runtimeOverhead", "extensionOverhead", "unheardOf")
    spans = tuple(PhaseSpan(name, at(0), 0.5) for name in names)
    expected = {
        "lambda.response_latency": (1, 0.5),
        "lambda.response_duration": (1, 0.5),
        "lambda.runtime_overhead": (1, 0.5),
        "lambda.extension_overhead": (1, 0.5),
    }

    assert after(invocation(spans=spans)) == {**MEASURED, **expected, "faas.invocations": 1}
    assert after(LateSpans("a", "", "", None, spans)) == expected
    assert after(LateSpans("a", "", "", None, (), is_late_cold_start=True)) == {"faas.coldstarts": 1}


def test_an_init_is_measured_and_a_restore_is_left_to_the_report() -> None:
    assert after(phase(), phase(kind="restore"), phase(duration_s=None)) == {"faas.init_duration": (1, 0.095)}


def test_a_cold_start_that_is_known_late_is_counted() -> None:
    assert after(phase(duration_s=None, is_late_cold_start=True)) == {"faas.coldstarts": 1}


OWN_STATE = [
    Measurement("sent", "{x}", 5, {"error.type": "full"}, is_counter=True),
    Measurement("held", "{x}", 5, {}, is_counter=False),
    Measurement("held", "{x}", -2, {}, is_counter=False),
]


def test_our_own_state_is_measured() -> None:
    one = encoder("cumulative")

    one.add_self_metrics(OWN_STATE)

    assert values(one.take()) == {"sent full": 5, "held": 3}


def test_our_own_up_down_counters_are_left_out_without_an_instance_id() -> None:
    one = encoder("delta")

    one.add_self_metrics(OWN_STATE)

    assert values(one.take()) == {"sent full": 5}


def test_no_measurements_are_no_batch() -> None:
    one = encoder()
    assert one.take() is None

    one.observe(platform_event("logsDropped", 0, droppedRecords=3))
    assert one.take() is not None

    # Delta: it has been reported.
    assert one.take() is None


def test_every_instrument_is_exported_with_its_unit_bounds_and_description() -> None:
    one = encoder()
    spans = tuple(PhaseSpan(name, at(0), 0.5) for name in ("responseLatency", "responseDuration", "runtimeOverhead"))
    one.observe_completed(
        [
            phase(),
            invocation(is_cold=True, spans=spans),
            invocation(status="timeout", error_type="x", has_run_out_of_memory=True),
            invocation(error_type="x"),
            LateSpans("a", "", "", None, (PhaseSpan("extensionOverhead", at(0), 0.5),)),
        ]
    )
    one.observe(platform_event("logsDropped", 0, droppedRecords=3, droppedBytes=5))
    one.observe(
        platform_event(
            "report",
            0,
            metrics={"billedDurationMs": 722, "memorySizeMB": 128, "maxMemoryUsedMB": 96, "restoreDurationMs": 2},
        )
    )

    found = {metric.name: metric for _, metric in read(one.take())}

    assert {name: metric.unit for name, metric in found.items()} == {
        **{name: unit for name, (unit, *_) in HISTOGRAMS.items()},
        **{name: unit for name, (unit, _) in COUNTERS.items()},
        MEMORY_SIZE: "By",
    }
    assert {name for name in found if name.startswith("faas.")} == {
        "faas.invocations",
        "faas.errors",
        "faas.timeouts",
        "faas.coldstarts",
        "faas.invoke_duration",
        "faas.init_duration",
        "faas.mem_usage",
    }
    assert list(points(found["faas.invoke_duration"])[0].explicit_bounds) == [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
    ]  # fmt: skip
    assert all(metric.sum.is_monotonic for name, metric in found.items() if name in COUNTERS)
    assert all(metric.description for metric in found.values())


@pytest.mark.parametrize(
    ("temporality", "expected"),
    [
        ("delta", Temporality.AGGREGATION_TEMPORALITY_DELTA),
        ("lowmemory", Temporality.AGGREGATION_TEMPORALITY_DELTA),
        ("cumulative", Temporality.AGGREGATION_TEMPORALITY_CUMULATIVE),
    ],
)
def test_temporality_follows_the_setting(temporality: str, expected: int) -> None:
    one = encoder(temporality)
    one.observe_completed([invocation()])

    found = {metric.name: getattr(metric, metric.WhichOneof("data")) for _, metric in read(one.take())}

    assert found["faas.invocations"].aggregation_temporality == expected
    assert found["faas.invoke_duration"].aggregation_temporality == expected


class TestInstanceId:
    """Cumulative sums need the id of their environment; deltas do not."""

    @pytest.mark.parametrize("temporality", ["delta", "lowmemory"])
    def test_deltas_have_no_id(self, temporality: str) -> None:
        assert resources(encoder(temporality)) == [{"faas.name": "orders"}]

    def test_sums_have_an_id_that_stays(self) -> None:
        named = {"faas.name": "orders", "service.instance.id": "00000000-0000-4000-8000-000000000001"}
        one = encoder("cumulative")

        assert resources(one) == [named]
        assert resources(one) == [named]

    def test_the_users_own_id_is_kept(self) -> None:
        own = Resource({"service.instance.id": "mine"})

        assert resources(encoder("cumulative", own)) == [{"service.instance.id": "mine"}]

    def test_ids_are_random(self) -> None:
        new_id = counted_ids()
        found = [resources(encoder("cumulative", new_id=new_id))[0] for _ in range(2)]

        assert found[0]["service.instance.id"] != found[1]["service.instance.id"]

    def test_a_restore_is_another_instance(self) -> None:
        """All environments restored from one snapshot would have the same id."""
        one = encoder("cumulative")
        before = resources(one)

        one.observe(platform_event("restoreStart", 0))

        assert (
            before
            != resources(one)
            == [{"faas.name": "orders", "service.instance.id": "00000000-0000-4000-8000-000000000002"}]
        )


ARN = {"cloud.resource_id": "arn"}


class TestAddedToResource:
    @pytest.mark.parametrize("temporality", TEMPORALITIES)
    def test_what_is_known_before_the_first_batch_is_in_every_batch(self, temporality: str) -> None:
        one = encoder(temporality)

        one.add_to_resource(ARN)

        found = resources(one) + resources(one)
        assert [resource["cloud.resource_id"] for resource in found] == ["arn", "arn"]
        assert found[0] == found[1]

    def test_deltas_get_it_later_as_well(self) -> None:
        one = encoder()
        before = resources(one)

        one.add_to_resource(ARN)

        assert (before, resources(one)) == ([{"faas.name": "orders"}], [{"faas.name": "orders", **ARN}])

    def test_sums_that_were_exported_keep_their_resource(self) -> None:
        """Under another resource they would be another series, and their total would count twice."""
        one = encoder("cumulative")
        before = resources(one)

        one.add_to_resource(ARN)

        assert resources(one) == before


def test_a_restore_resets_neither_sums_nor_their_start() -> None:
    now_ns = 1
    one = encoder("cumulative", unix_ns=lambda: now_ns)
    one.observe_completed([invocation()])
    now_ns = 2

    one.observe(platform_event("restoreStart", 0))
    one.observe_completed([invocation()])

    [found] = [points(metric) for _, metric in read(one.take()) if metric.name == "faas.invocations"]
    assert [(point.as_int, point.start_time_unix_nano, point.time_unix_nano) for point in found] == [(2, 1, 2)]


def resources(one: MetricEncoder) -> list[dict[str, Any]]:
    one.observe_completed([invocation()])
    found = [resource for resource, _ in read(one.take())]
    return [resource for number, resource in enumerate(found) if resource not in found[:number]]


@dataclass
class Day:
    """A thousand invocations, in environments that end with a crash, a timeout, or without a reason."""

    environments: list[list[Event]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)

    def count(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            self.counted[name] += amount

    def measure(self, name: str, amount: int) -> None:
        self.counted[name] += 1
        self.sums[name] += amount


# How many of a thousand invocations have which outcome.
ENDS = {"success": 880, "exception": 60, "timeout": 25, "error": 20, "oom": 10, "lost": 5}


def a_day() -> Day:
    chance = random.Random(7)
    ends = list(Counter(ENDS).elements())
    chance.shuffle(ends)
    day = Day()
    ms = 0
    for number, end in enumerate(ends):
        if number == 0 or day.reasons[-1]:
            ms += 10_000
            begin_environment(day, ms)
        ms += 1_000
        day.reasons[-1] = invoke(day, f"request {number}", ms, end, chance)
    day.reasons[-1] = day.reasons[-1] or "spindown"
    return day


def begin_environment(day: Day, ms: int) -> None:
    day.environments.append([init_start(ms), init_done(ms + 90), init_report(ms + 100, duration_ms=100)])
    day.reasons.append("")
    day.count(coldstarts=1)
    day.measure("init", 100)


def invoke(day: Day, name: str, ms: int, end: str, chance: random.Random) -> str:
    """Add the events of an invocation; return why the environment ends with it, or an empty string."""
    duration_ms, used_mb = chance.randint(1, 900), chance.randint(40, 120)
    environment = day.environments[-1]
    environment.append(start(name, ms))
    over = ms + duration_ms
    if end == "lost":
        # The runtime's end and the report were never delivered.
        day.count(invocations=1)
        return ""
    status = {"success": "success", "exception": "success", "timeout": "timeout"}.get(end, "error")
    error = {"errorType": "Runtime.ExitError"} if status == "error" else {}
    if end == "exception":
        environment.append(platform_event("exceptionInTheLog", over - 1, requestId=name))
    environment.append(
        done(name, over, duration_ms=duration_ms, status=status, spans=[span("responseLatency", 0, 1)], **error)
    )
    used_mb = 128 if end == "oom" else used_mb
    environment.append(report(name, over + 1, duration_ms=duration_ms, used_mb=used_mb, status=status, **error))
    day.measure("duration", duration_ms)
    day.measure("billed", duration_ms + 1)
    day.measure("memory", used_mb)
    day.measure("latency", 1)
    day.count(**{"success": {"invocations": 1}, "timeout": {"timeouts": 1}}.get(end, {f"errors {end}": 1}))
    if end == "oom":
        day.count(oom=1)
    return {"timeout": "timeout", "error": "failure", "oom": "failure"}.get(end, "spindown" if duration_ms < 30 else "")


def exported(environment: list[Event], reason: str, one: MetricEncoder) -> Iterable[Batch | None]:
    """Yield what an environment sends after every few events and at its end."""
    invocations = tracker()
    for number, event in enumerate(environment):
        invocations.observe(event)
        one.observe(event)
        if event.type == "platform.exceptionInTheLog":
            known = invocations.find(event.fields["requestId"], event.time_ns)
            assert known is not None
            known.exception_type = "ValueError"
        if number % 7 == 0:
            one.observe_completed(invocations.take_completed())
            yield one.take()
    invocations.shut_down(reason, environment[-1].time_ns)
    one.observe_completed(invocations.take_completed())
    yield one.take()


def expected(day: Day) -> dict[str, Any]:
    def histogram(name: str, unit: float) -> tuple[int, float]:
        return day.counted[name], round(day.sums[name] * unit, 6)

    return {
        "faas.invocations": day.counted["invocations"],
        "faas.timeouts": day.counted["timeouts"],
        "faas.errors ValueError": day.counted["errors exception"],
        "faas.errors Runtime.ExitError": day.counted["errors error"],
        "faas.errors Runtime.OutOfMemory": day.counted["errors oom"],
        "faas.coldstarts": day.counted["coldstarts"],
        "lambda.out_of_memory": day.counted["oom"],
        "faas.init_duration": histogram("init", 0.001),
        "faas.invoke_duration": histogram("duration", 0.001),
        "lambda.billed_duration": histogram("billed", 0.001),
        "lambda.response_latency": histogram("latency", 0.001),
        "lambda.produced_bytes": (day.counted["duration"], 17 * day.counted["duration"]),
        "faas.mem_usage": histogram("memory", MB),
    }


def test_a_day_of_a_thousand_invocations_adds_up_in_deltas() -> None:
    day = a_day()
    totals: dict[str, Any] = {}
    for environment, reason in zip(day.environments, day.reasons, strict=True):
        for batch in exported(environment, reason, encoder()):
            add(totals, values(batch))

    assert len(day.environments) > 50
    assert rounded(totals) == expected(day)


def test_a_day_of_a_thousand_invocations_adds_up_in_cumulative_sums() -> None:
    day = a_day()
    last: dict[str, dict[str, Any]] = {}
    new_id = counted_ids()
    for environment, reason in zip(day.environments, day.reasons, strict=True):
        one = encoder("cumulative", new_id=new_id)
        for batch in exported(environment, reason, one):
            for resource, _ in read(batch):
                last[resource["service.instance.id"]] = values(batch)

    totals: dict[str, Any] = {}
    for of_instance in last.values():
        add(totals, of_instance)
    assert len(last) == len(day.environments)
    assert rounded(totals) == expected(day)


def add(totals: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if name == MEMORY_SIZE:
            assert value == 128 * MB
        elif isinstance(value, tuple):
            # Failures and successes together.
            name = name.split()[0]  # noqa: PLW2901
            count, total = totals.get(name, (0, 0))
            totals[name] = (count + value[0], total + value[1])
        else:
            totals[name] = totals.get(name, 0) + value


def rounded(totals: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (value[0], round(value[1], 6)) if isinstance(value, tuple) else value for name, value in totals.items()
    }


EVENTS = st.one_of(
    st.builds(
        platform_event,
        st.just("report"),
        st.just(0),
        metrics=st.dictionaries(
            st.sampled_from(["billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "restoreDurationMs"]),
            st.integers() | st.floats(),
        ),
    ),
    st.builds(
        platform_event, st.just("logsDropped"), st.just(0), droppedRecords=st.integers(), droppedBytes=st.floats()
    ),
    st.builds(platform_event, st.just("restoreStart"), st.just(0)),
)


@FAST
@given(st.lists(EVENTS, max_size=4), st.lists(COMPLETED, max_size=4), st.sampled_from(list(TEMPORALITIES)))
def test_any_measurement_is_encoded(seen: list[Event], completed: list[Completed], temporality: str) -> None:
    one = encoder(temporality)
    for event in seen:
        one.observe(event)
    one.observe_completed(completed)

    for _, metric in read(one.take()):
        assert all(point.time_unix_nano > 0 for point in points(metric))
