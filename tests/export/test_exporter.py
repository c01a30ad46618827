"""Exporters that send to a scripted collector.

Pauses between attempts move the fake clock. A deadline takes real time only if the collector does not respond.
"""

import gzip
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS, Batch
from telemetry_forwarder.export.exporter import NO_ENDPOINT, TOO_LARGE, Exporters, ExportResult
from telemetry_forwarder.export.retry import RetryPolicy
from telemetry_forwarder.transport.client import Transport
from tests.support import collector as c
from tests.support import fixtures
from tests.support.batches import batch
from tests.support.captured_log import CapturedLog
from tests.support.certificates import issue_certificates
from tests.support.collector import FakeCollector
from tests.support.fake_clock import FakeClock
from tests.support.requests import endpoint_of

BUSY = c.Response(status=503)
LONGEST_PAUSES = RetryPolicy(random=lambda: 1.0)
PATHS = {LOGS: "/v1/logs", SPANS: "/v1/traces", METRICS: "/v1/metrics"}


@dataclass
class Bench:
    """Exporters that send to one collector, and what they use."""

    collector: FakeCollector
    captured: CapturedLog
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.transport = Transport(self.captured.diagnostics(self.clock))
        self.exporters = self.make()

    def make(self, *, signals: tuple[str, ...] = SIGNALS, retry: RetryPolicy | None = None) -> Exporters:
        return Exporters(
            {signal: endpoint_of(self.collector, signal) for signal in signals},
            self.transport,
            clock=self.clock,
            log=self.captured.diagnostics(self.clock),
            retry=retry or LONGEST_PAUSES,
        )

    def send(self, *batches: Batch, within_s: float = 5.0, is_last_chance: bool = False) -> list[ExportResult]:
        """Send *batches* one after the other on the fake clock: a collector that hangs would hang forever."""
        deadline = Deadline.after(within_s, self.clock)
        return [self.exporters.send(batch, deadline, is_last_chance=is_last_chance) for batch in batches]

    def is_left_alone_for(self, seconds: float, *batches: Batch) -> bool:
        """Whether *batches* are held without a request just before *seconds* have passed. Ends at that moment."""
        asked = self.collector.connections, len(self.collector.requests)
        self.clock.advance(seconds - 0.001)
        results = self.send(*batches)
        self.clock.advance(0.001)
        is_asked = asked != (self.collector.connections, len(self.collector.requests))
        return results == [ExportResult(batch, held=batch) for batch in batches] and not is_asked

    def statuses(self) -> list[int | None]:
        return [request.status for request in self.collector.requests]


collector = fixtures.collector


@pytest.fixture
def bench(collector: FakeCollector) -> Iterator[Bench]:
    with CapturedLog() as captured:
        bench = Bench(collector, captured)
        yield bench
        bench.exporters.close()


@pytest.fixture
def http_bench() -> Iterator[Bench]:
    with FakeCollector() as collector, CapturedLog() as captured:
        bench = Bench(collector, captured)
        yield bench
        bench.exporters.close()


LOG = batch(LOGS, 3)
SPAN = batch(SPANS, 2)


class TestSuccess:
    def test_every_signal_arrives_at_its_own_path(self, bench: Bench) -> None:
        batches = [batch(METRICS, 2), batch(LOGS, 1), batch(SPANS, 3), batch(LOGS, 4)]

        assert bench.send(*batches) == [ExportResult(batch, delivered=batch.items) for batch in batches]
        assert [bench.collector.accepted(PATHS[signal]) for signal in (LOGS, SPANS, METRICS)] == [5, 3, 2]

    def test_compressed_response_is_success_because_it_cannot_be_read(self, http_bench: Bench) -> None:
        http_bench.collector.script(c.Response(headers={"Content-Encoding": "GZIP"}, body=gzip.compress(b"{}")))

        assert http_bench.send(LOG) == [ExportResult(LOG, delivered=3)]

    def test_any_2xx_is_success(self, http_bench: Bench) -> None:
        http_bench.collector.script(c.Response(status=202, body=b""))

        assert http_bench.send(LOG) == [ExportResult(LOG, delivered=3)]

    def test_unusual_content_type_is_success_and_logged_once_a_minute(self, http_bench: Bench) -> None:
        http_bench.collector.script(then=c.Response(headers={"Content-Type": "text/plain"}, body=b"OK"))

        assert http_bench.send(LOG, LOG) == [ExportResult(LOG, delivered=3)] * 2
        assert http_bench.captured.lines == [
            f"WARN {http_bench.collector.endpoint} responded with 200 and text/plain: "
            "check that this is an OTLP endpoint"
        ]

    def test_rejected_items_are_counted_and_not_sent_again(self, bench: Bench) -> None:
        bench.collector.script(c.Response(rejected=2, message="too old"))

        assert bench.send(LOG) == [ExportResult(LOG, delivered=1, rejected=2)]
        assert len(bench.collector.requests) == 1
        assert bench.captured.lines == [f"WARN {bench.collector.endpoint} (logs) rejected 2 of 3 items: too old"]

    def test_rejections_are_logged_once_a_minute(self, bench: Bench) -> None:
        bench.collector.script(then=c.Response(rejected=1, message="too old"))

        bench.send(LOG, LOG)
        bench.clock.advance(61)
        bench.send(LOG)

        assert len(bench.captured.lines) == 2

    def test_signal_without_an_endpoint_is_dropped_and_counted(self, bench: Bench) -> None:
        bench.exporters = bench.make(signals=(LOGS,))
        spans = batch(SPANS, 2)

        assert bench.send(spans, LOG) == [ExportResult(spans, dropped={NO_ENDPOINT: 2}), ExportResult(LOG, delivered=3)]


class TestRefusal:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 500, 501])
    def test_refused_batch_is_dropped_and_the_servers_message_logged(self, bench: Bench, status: int) -> None:
        bench.collector.script(c.Response(status=status, message="no such tenant"))

        assert bench.send(LOG) == [ExportResult(LOG, dropped={f"status {status}": 3})]
        assert len(bench.collector.requests) == 1
        assert bench.captured.lines == [
            f"WARN {bench.collector.endpoint} (logs) refused 3 items: {status}: no such tenant"
        ]

    @pytest.mark.parametrize(
        ("query", "response"),
        [
            ("", c.Response(status=401, message="no such token: s3cret")),
            ("?key=qu3ry", c.Response(status=404, message="no such path: /v1/logs?key=qu3ry")),
            ("", c.Response(rejected=1, message="not yours: s3cret")),
            ("?key=qu3ry", c.Response(status=503, message="Bearer s3cret, key=qu3ry")),
        ],
    )
    def test_message_is_logged_without_secrets(self, bench: Bench, query: str, response: c.Response) -> None:
        endpoint = endpoint_of(bench.collector, LOGS, headers={"authorization": "Bearer s3cret"})
        # A path and a query are not sent over gRPC, but they may be set.
        endpoint = replace(endpoint, url=f"{endpoint.url}{query}")
        log = bench.captured.diagnostics(bench.clock)
        bench.exporters = Exporters({LOGS: endpoint}, bench.transport, clock=bench.clock, log=log)
        bench.collector.script(then=response)

        bench.send(LOG)

        (line,) = bench.captured.lines
        assert "***" in line
        assert "s3cret" not in line
        assert "qu3ry" not in line

    @pytest.mark.parametrize("status", [401, 503])
    def test_message_is_cleaned_and_cut(self, bench: Bench, status: int) -> None:
        bench.collector.script(then=c.Response(status=status, body=b"\x1b[31mno\r\n\x07" + b"x " * 2_000))

        bench.send(LOG)

        (line,) = bench.captured.lines
        assert line.isprintable()
        assert f"{status}: [31mno x x" in line
        assert len(line) < 500

    def test_next_batch_is_sent(self, bench: Bench) -> None:
        bench.collector.script(c.Response(status=400))

        assert bench.send(LOG, LOG) == [ExportResult(LOG, dropped={"status 400": 3}), ExportResult(LOG, delivered=3)]

    def test_refusals_are_logged_once_a_minute(self, bench: Bench) -> None:
        bench.collector.script(then=c.Response(status=400))

        bench.send(*[LOG] * 5)
        bench.clock.advance(61)
        bench.send(LOG)

        assert len(bench.captured.lines) == 2

    def test_redirect_is_no_success(self, bench: Bench) -> None:
        bench.collector.script(
            c.Response(status=302, headers={"Location": "https://me:QUOTED_KEY@sso/login?k=QUOTED_KEY"})
        )

        assert bench.send(LOG) == [ExportResult(LOG, dropped={"status 302": 3})]
        assert bench.captured.lines == [
            f"WARN {bench.collector.endpoint} (logs) refused 3 items: "
            "302: redirects are not followed, this one points to https://sso/login"
        ]


class TestRetry:
    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    def test_retryable_status(self, bench: Bench, status: int) -> None:
        # Without a delay, gRPC does not allow to repeat a request for which the server has no resources.
        bench.collector.script(c.Response(status=status, headers={"Retry-After": "1"} if status == 429 else {}))

        assert bench.send(LOG) == [ExportResult(LOG, delivered=3)]
        assert bench.statuses() == [status, 200]

    @pytest.mark.parametrize("step", [c.HangUp(), c.HangUp(resets=False), c.Raw(data=b"garbage\r\n\r\n")])
    def test_broken_connection(self, bench: Bench, step: c.Step) -> None:
        bench.collector.script(step)

        assert bench.send(LOG) == [ExportResult(LOG, delivered=3)]

    def test_pauses_double(self, bench: Bench) -> None:
        bench.collector.script(*[BUSY] * 5)

        bench.send(LOG)

        assert sum(bench.clock.sleeps) == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6)
        assert bench.statuses() == [503] * 5 + [200]

    def test_attempts_are_limited(self, bench: Bench) -> None:
        bench.exporters = bench.make(retry=RetryPolicy(random=lambda: 1.0, max_attempts=2))
        bench.collector.script(then=BUSY)

        assert bench.send(LOG) == [ExportResult(LOG, held=LOG)]
        assert bench.statuses() == [503, 503]

    def test_pauses_are_limited(self, bench: Bench) -> None:
        bench.exporters = bench.make(retry=RetryPolicy(random=lambda: 1.0, longest_pause_s=0.2))
        bench.collector.script(*[BUSY] * 3)

        bench.send(LOG)

        assert bench.clock.sleeps == pytest.approx([0.1, 0.2, 0.2])

    def test_pause_that_exceeds_the_deadline_ends_the_attempts(self, bench: Bench) -> None:
        bench.collector.script(then=BUSY)

        assert bench.send(LOG, within_s=0.5) == [ExportResult(LOG, held=LOG)]
        assert bench.clock.sleeps == pytest.approx([0.1, 0.2])

    def test_timeout_of_the_endpoint_limits_all_attempts(self, bench: Bench) -> None:
        endpoint = endpoint_of(bench.collector, LOGS, timeout_s=0.2)
        bench.exporters = Exporters(
            {LOGS: endpoint}, bench.transport, clock=bench.clock, log=bench.captured.diagnostics(bench.clock)
        )
        bench.collector.script(then=BUSY)

        bench.send(LOG)

        assert sum(bench.clock.sleeps) < 0.2

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("retry_after", ["2", "Mon, 21 Sep 2026 14:13:22 GMT"])
    def test_retry_after_sets_the_shortest_pause(self, bench: Bench, retry_after: str, status: int) -> None:
        assert bench.clock.unix_ns() == 1_790_000_000_000_000_000  # 14:13:20
        bench.collector.script(c.Response(status=status, headers={"Retry-After": retry_after}))

        assert bench.send(LOG) == [ExportResult(LOG, delivered=3)]
        assert sum(bench.clock.sleeps) == pytest.approx(3.0)

    def test_date_in_retry_after_is_by_the_clock_of_the_endpoint(self, http_bench: Bench) -> None:
        headers = {"Retry-After": "Mon, 20 Oct 2014 07:28:30 GMT", "Date": "Mon, 20 Oct 2014 07:28:28 GMT"}
        http_bench.collector.script(c.Response(status=503, headers=headers))

        assert http_bench.send(LOG) == [ExportResult(LOG, delivered=3)]
        assert sum(http_bench.clock.sleeps) == pytest.approx(3.0)

    def test_after_a_failure_each_success_allows_one_more_repetition(self, bench: Bench) -> None:
        bench.collector.script(*[BUSY] * 6, c.OK, c.OK, then=BUSY)

        bench.send(LOG, within_s=60.0)
        bench.clock.advance(60)
        bench.send(LOG, LOG, LOG, within_s=60.0)

        assert bench.statuses() == [503] * 6 + [200, 200] + [503] * 3

    def test_retry_after_beyond_the_deadline_holds_the_endpoint(self, bench: Bench) -> None:
        bench.collector.script(c.Response(status=503, headers={"Retry-After": "30"}))

        assert bench.send(LOG) == [ExportResult(LOG, held=LOG)]
        assert bench.clock.sleeps == []
        assert bench.is_left_alone_for(45.0, LOG)
        assert bench.send(LOG) == [ExportResult(LOG, delivered=3)]

    def test_connection_closed_during_a_freeze_is_no_failure(self, bench: Bench) -> None:
        bench.send(LOG)
        bench.collector.drop_connections()

        assert bench.send(LOG, within_s=0.09) == [ExportResult(LOG, delivered=3)]
        assert bench.clock.sleeps == []


class TestTooLarge:
    def test_batch_is_split_until_it_fits(self, bench: Bench) -> None:
        whole = batch(LOGS, 9, padding="x" * 100)
        bench.collector.limit_bytes = 400

        assert bench.send(whole) == [ExportResult(whole, delivered=9)]
        assert [record.time_unix_nano for _, _, record in bench.collector.logs()] == list(range(9))

    @pytest.mark.parametrize("signal", SIGNALS)
    def test_items_that_are_too_large_alone_are_dropped(self, bench: Bench, signal: str) -> None:
        whole = batch(signal, 4)
        bench.collector.script(then=c.Response(status=413))

        assert bench.send(whole) == [ExportResult(whole, dropped={TOO_LARGE: 4})]
        assert bench.statuses() == [413] * 7
        (line,) = bench.captured.lines
        assert line.startswith(f"WARN {bench.collector.endpoint} ({signal}) refused 1 items: 413: ")

    def test_batch_that_cannot_be_decoded_is_dropped(self, bench: Bench) -> None:
        whole = Batch(LOGS, b"\xff", 4)
        bench.collector.limit_bytes = 0

        assert bench.send(whole) == [ExportResult(whole, dropped={TOO_LARGE: 4})]

    def test_limit_is_remembered(self, bench: Bench) -> None:
        whole = batch(LOGS, 4, padding="x" * 50_000)
        bench.collector.limit_bytes = 101_000

        bench.send(whole)
        bench.send(whole)

        assert bench.statuses() == [413, 200, 200, 200, 200]

    def test_absurdly_small_limit_is_not_remembered(self, bench: Bench) -> None:
        bench.collector.script(c.Response(status=413))

        bench.send(LOG)
        bench.send(LOG)

        assert bench.statuses() == [413, 200, 200, 200]

    def test_endpoint_that_accepts_nothing_does_not_receive_each_of_many_items(self, bench: Bench) -> None:
        whole = batch(LOGS, 1_000)
        bench.collector.script(then=c.Response(status=413))

        assert bench.send(whole) == [ExportResult(whole, dropped={TOO_LARGE: 1_000})]
        assert len(bench.collector.requests) < 60

    def test_parts_that_could_not_be_sent_are_held_as_one_batch(self, bench: Bench) -> None:
        whole = batch(LOGS, 8)
        bench.collector.script(c.Response(status=413), c.Response(status=413), c.OK, c.Response(status=400), then=BUSY)

        [result] = bench.send(whole, within_s=0.01)

        assert (result.delivered, result.dropped) == (2, {"status 400": 2})
        assert result.held is not None
        assert result.held.items == 4
        assert [record.time_unix_nano for _, _, record in bench.collector.logs()] == [0, 1]

        bench.collector.script()
        bench.send(result.held, is_last_chance=True)
        assert [record.time_unix_nano for _, _, record in bench.collector.logs()] == [0, 1, 4, 5, 6, 7]


class TestHolding:
    """What happens after a failure, while nothing is sent to the endpoint."""

    def test_nothing_is_sent_until_the_hold_time_is_over(self, bench: Bench) -> None:
        bench.collector.refuse()
        bench.send(LOG)
        bench.collector.listen()

        assert bench.is_left_alone_for(1.0, LOG, LOG)
        assert bench.exporters.is_failing(LOGS)

        assert bench.send(LOG, LOG) == [ExportResult(LOG, delivered=3), ExportResult(LOG, delivered=3)]
        assert not bench.exporters.is_failing(LOGS)

    def test_probe_is_a_single_attempt(self, bench: Bench) -> None:
        bench.collector.script(then=BUSY)
        bench.send(LOG)
        bench.clock.advance(1.0)
        tries, pauses = len(bench.collector.requests), len(bench.clock.sleeps)

        assert bench.send(LOG, LOG) == [ExportResult(LOG, held=LOG), ExportResult(LOG, held=LOG)]
        assert (len(bench.collector.requests) - tries, len(bench.clock.sleeps) - pauses) == (1, 0)
        assert bench.is_left_alone_for(2.0, LOG)
        bench.send(LOG)
        assert len(bench.collector.requests) - tries == 2

    def test_first_failure_and_recovery_are_logged_once(self, bench: Bench) -> None:
        bench.collector.refuse()
        for _ in range(4):
            bench.send(LOG, batch(SPANS, 1), batch(METRICS, 1))
            bench.clock.advance(3.0)
        bench.collector.listen()
        bench.clock.advance(60.0)
        for _ in range(2):
            bench.send(LOG, batch(SPANS, 1))

        assert bench.captured.lines == [
            f"WARN {bench.collector.endpoint} does not accept telemetry: Connection refused; "
            "telemetry is held, next attempt in 1.0 s",
            f"INFO {bench.collector.endpoint} responds again",
        ]

    def test_unreachable_server_is_left_alone_by_all_signals(self, bench: Bench) -> None:
        with bench.collector.refusing():
            bench.send(LOG)

        batches = [LOG, batch(SPANS, 1), batch(METRICS, 1)]
        assert bench.is_left_alone_for(1.0, *batches)
        assert bench.send(*batches) == [ExportResult(batch, delivered=batch.items) for batch in batches]

    def test_server_that_responds_is_left_alone_only_by_the_failing_signal(self, bench: Bench) -> None:
        bench.collector.script(then=c.Response(status=503, path="/v1/metrics"))
        bench.send(batch(METRICS, 1), LOG)

        assert [bench.exporters.is_failing(signal) for signal in SIGNALS] == [False, False, True]
        assert bench.send(LOG) == [ExportResult(LOG, delivered=3)]

    def test_response_of_any_kind_shows_that_the_server_is_reachable(self, bench: Bench) -> None:
        with bench.collector.refusing():
            bench.send(LOG)
        bench.collector.script(c.Response(status=429, headers={"Retry-After": "90"}))
        bench.clock.advance(1.0)
        bench.send(LOG)

        assert [bench.exporters.is_failing(signal) for signal in SIGNALS] == [True, False, False]
        assert bench.captured.lines[1:] == [
            f"INFO {bench.collector.endpoint} responds again",
            f"WARN {bench.collector.endpoint} (logs) does not accept telemetry: 429: status 429; "
            "telemetry is held, next attempt in 135.0 s",
        ]
        assert bench.is_left_alone_for(135.0, LOG)

    def test_success_closes_both_circuit_breakers_and_is_logged_once(self, bench: Bench) -> None:
        bench.collector.script(c.Response(status=503, headers={"Retry-After": "90"}))
        bench.send(LOG)
        with bench.collector.refusing():
            bench.send(LOG, is_last_chance=True)

        bench.send(LOG, is_last_chance=True)
        bench.send(LOG)

        assert not bench.exporters.is_failing(LOGS)
        assert bench.captured.lines[2:] == [
            f"INFO {bench.collector.endpoint} responds again",
            f"INFO {bench.collector.endpoint} (logs) responds again",
        ]

    def test_all_endpoints_fail_only_if_each_does(self, bench: Bench) -> None:
        bench.collector.script(then=BUSY)
        batches = [LOG, batch(SPANS, 1), batch(METRICS, 1)]
        are_all_failing = []

        for each in batches:
            bench.send(each)
            are_all_failing.append(bench.exporters.are_all_failing)

        assert are_all_failing == [False, False, True]

    def test_untrusted_server_is_tried_once(self, bench: Bench, tmp_path: Path) -> None:
        with FakeCollector(tls=issue_certificates(tmp_path).server) as collector:
            bench.collector = collector
            bench.exporters = bench.make()

            assert bench.send(LOG) == [ExportResult(LOG, held=LOG)]
            assert (collector.connections, bench.clock.sleeps) == (1, [])
            assert bench.exporters.is_failing(SPANS)

    def test_lack_of_time_is_no_failure(self, bench: Bench) -> None:
        assert bench.send(LOG, within_s=0) == [ExportResult(LOG, held=LOG)]
        assert bench.collector.connections == 0
        assert not bench.exporters.is_failing(LOGS)

    def test_last_chance_ignores_the_hold_time(self, bench: Bench) -> None:
        bench.collector.script(c.Response(status=503, headers={"Retry-After": "600"}), BUSY)
        bench.send(LOG)

        assert bench.send(LOG, is_last_chance=True) == [ExportResult(LOG, delivered=3)]
        assert bench.statuses() == [503, 503, 200]


QUOTED_KEY = 'glc_eyJvIjoiNzQ1"MjMiLCJuIjoi/c3RhY2s+'


class TestSecrets:
    """An endpoint may quote what was sent to it, in any form: no line contains a secret."""

    @pytest.mark.parametrize(
        "step",
        [
            c.Response(status=401, headers={"Content-Type": "text/plain"}, body=b"x" * 270 + QUOTED_KEY.encode()),
            c.Response(status=401, message="x" * 290 + QUOTED_KEY),
            c.Response(
                status=400, headers={"Content-Type": "application/json"}, body=json.dumps([QUOTED_KEY]).encode()
            ),
            c.Response(status=400, headers={"Content-Type": "text/html"}, body=quote(QUOTED_KEY, safe="").encode()),
            c.Response(
                status=400, headers={"Content-Type": "text/html"}, body=b64encode(b"Bearer " + QUOTED_KEY.encode())
            ),
            c.Response(status=503, headers={"Content-Type": "text/plain"}, body=QUOTED_KEY.upper().encode()),
            c.Response(status=302, headers={"Location": f"https://h/{'x' * 170}{quote(QUOTED_KEY)}"}),
            c.Response(status=302, headers={"Location": f"https://h/{QUOTED_KEY[:20]}"}),
            c.Response(status=200, headers={"Content-Type": QUOTED_KEY}),
            c.Response(status=200, headers={"Content-Type": "text/html"}, body=QUOTED_KEY[12:].encode()),
            c.Response(rejected=1, message="x" * 290 + QUOTED_KEY),
        ],
    )
    def test_no_line_contains_a_secret_that_a_response_quotes(self, bench: Bench, step: c.Step) -> None:
        headers = {"authorization": f"Bearer {QUOTED_KEY}"}
        endpoint = endpoint_of(bench.collector, LOGS, headers=headers)
        log = bench.captured.diagnostics(bench.clock)
        exporters = Exporters({LOGS: endpoint}, bench.transport, clock=bench.clock, log=log, retry=LONGEST_PAUSES)
        bench.collector.script(then=step)

        exporters.send(LOG, Deadline.after(1.0, bench.clock))

        written = "".join(bench.captured.lines)
        encoded = b64encode(QUOTED_KEY.encode()).decode()
        assert "***" in written
        for text in (QUOTED_KEY, quote(QUOTED_KEY), encoded, b64encode(b"Bearer " + QUOTED_KEY.encode()).decode()):
            runs = [text[index : index + 8].lower() for index in range(len(text) - 7)]
            assert not [run for run in runs if run in written.lower()]

    def test_what_other_parts_log_is_masked_as_well(self, bench: Bench) -> None:
        log = bench.captured.diagnostics(bench.clock)
        endpoint = endpoint_of(bench.collector, LOGS, proxy=f"http://user:{quote(QUOTED_KEY, safe='')}@127.0.0.1:1")
        Exporters({LOGS: endpoint}, bench.transport, clock=bench.clock, log=log)

        log.warn(f"a library failed: {endpoint.proxy}")
        log.error("x" * 990 + QUOTED_KEY)

        assert bench.captured.lines[0] == "WARN a library failed: http://***@127.0.0.1:1"
        assert QUOTED_KEY[:8] not in bench.captured.lines[1]


class TestNotOtlp:
    """A web page, a captive portal or another API responds with 2xx: nothing was accepted."""

    PAGE = c.Response(headers={"Content-Type": "text/html; charset=utf-8"}, body=b"<html>Log in")

    def test_batch_is_held_without_another_attempt_and_the_reason_logged(self, bench: Bench) -> None:
        bench.collector.script(then=self.PAGE)

        assert bench.send(LOG, LOG) == [ExportResult(LOG, held=LOG)] * 2
        assert len(bench.collector.requests) == 1
        url = bench.collector.endpoint
        assert bench.captured.lines == [
            f"WARN {url} responded with 200 and text/html: check that this is an OTLP endpoint",
            f"WARN {url} (logs) does not accept telemetry: 200: <html>Log in; telemetry is held, next attempt in 1.0 s",
        ]

    @pytest.mark.parametrize(
        "page",
        [
            c.Response(status=202, headers={"Content-Type": "text/html"}, body=b"Log in"),
            c.Response(status=206, body=b"<!doctype html>"),
            c.Response(headers={"Content-Type": "application/json"}, body=b'{"error": "expired"}'),
            c.Endless(piece=b"<p>" * 10_000),
        ],
    )
    def test_everything_is_delivered_once_the_endpoint_is_one(self, bench: Bench, page: c.Step) -> None:
        bench.collector.script(page)

        assert bench.send(LOG) == [ExportResult(LOG, held=LOG)]
        bench.clock.advance(1.0)
        assert bench.send(LOG) == [ExportResult(LOG, delivered=3)]

    @pytest.mark.parametrize(
        "data", [b"HTTP/1.0 200 OK\r\n\r\n<html", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n <html>"]
    )
    def test_response_that_breaks_off_may_be_a_page(self, http_bench: Bench, data: bytes) -> None:
        http_bench.collector.script(c.Raw(data=data))

        assert http_bench.send(LOG) == [ExportResult(LOG, held=LOG)]

    @pytest.mark.parametrize("content_type", ["", "application/json", "application/x-protobuf"])
    @pytest.mark.parametrize("body", [b"", b"OK", b"{}"])
    def test_acknowledgement_of_http_is_none_of_grpc(self, bench: Bench, content_type: str, body: bytes) -> None:
        headers = {"X-Content-Type" if not content_type else "Content-Type": content_type}
        bench.collector.script(c.Response(status=202, headers=headers, body=body))

        is_held = bench.collector.is_grpc
        assert bench.send(LOG) == [ExportResult(LOG, held=LOG) if is_held else ExportResult(LOG, delivered=3)]

    def test_pauses_grow_and_other_signals_are_not_concerned(self, bench: Bench) -> None:
        bench.collector.script(*[replace(self.PAGE, path=PATHS[LOGS])] * 2)

        bench.send(LOG)

        assert bench.is_left_alone_for(1.0, LOG)
        assert bench.send(SPAN) == [ExportResult(SPAN, delivered=2)]
        assert bench.send(LOG) == [ExportResult(LOG, held=LOG)]
        assert bench.is_left_alone_for(2.0, LOG)
        assert bench.send(LOG) == [ExportResult(LOG, delivered=3)]


class TestTime:
    """On the machine's clock. Without the deadline neither of these would ever end."""

    def test_server_that_does_not_respond_takes_no_longer_than_the_deadline(self, bench: Bench) -> None:
        bench.collector.script(then=c.Hang())
        deadline = Deadline.after(0.1, Clock())

        result = bench.exporters.send(LOG, deadline)

        assert result == ExportResult(LOG, held=LOG)
        assert deadline.is_over()
        assert [bench.exporters.is_failing(signal) for signal in SIGNALS] == [True, False, False]

    def test_hurry_ends_a_pause(self, bench: Bench) -> None:
        clock = Clock()
        bench.collector.script(then=c.Response(status=503, headers={"Retry-After": "3000"}))
        exporters = Exporters(
            {LOGS: endpoint_of(bench.collector, LOGS, timeout_s=3_600)},
            bench.transport,
            clock=clock,
            log=bench.captured.diagnostics(clock),
        )
        results: list[ExportResult] = []
        sending = threading.Thread(target=lambda: results.append(exporters.send(LOG, Deadline.after(3_600, clock))))
        sending.start()
        assert bench.collector.wait_for(lambda: bench.collector.requests, 30)

        exporters.limit_time(Deadline.after(0, clock))
        sending.join()

        assert results == [ExportResult(LOG, held=LOG)]


_STEPS = st.sampled_from(
    [
        c.OK,
        BUSY,
        c.Response(status=413),
        c.Response(status=400),
        c.Response(status=301),
        c.Response(rejected=1),
        c.Raw(data=b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff"),
        c.Response(status=429, headers={"Retry-After": "1"}),
        c.HangUp(),
        c.Raw(data=b"garbage\r\n\r\n"),
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(_STEPS, max_size=12),
    st.lists(st.builds(batch, st.sampled_from(SIGNALS), st.integers(0, 5)), max_size=6),
    st.sampled_from([0.0, 0.3, 5.0]),
)
def test_every_item_is_delivered_rejected_dropped_or_held(
    collector: FakeCollector, steps: list[c.Step], batches: list[Batch], within_s: float
) -> None:
    collector.script(*steps)
    before = {signal: collector.accepted(PATHS[signal]) for signal in SIGNALS}
    with CapturedLog() as captured:
        bench = Bench(collector, captured)
        results = bench.send(*batches, within_s=within_s)
        bench.transport.close()

    assert [result.batch for result in results] == batches
    for result in results:
        held = result.held.items if result.held else 0
        assert result.batch.items == result.delivered + result.rejected + sum(result.dropped.values()) + held
    for signal in SIGNALS:
        delivered = sum(result.delivered for result in results if result.batch.signal == signal)
        assert collector.accepted(PATHS[signal]) - before[signal] == delivered
