"""The transport over real sockets; how each kind of sender works is tested with its module."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.endpoints.endpoint import GRPC, HTTP_PROTOBUF, Endpoint
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Cause, Failure, FailureKind, Response
from tests.support import collector as c
from tests.support import fixtures
from tests.support.addresses import resolver
from tests.support.captured_log import CapturedLog
from tests.support.certificates import Certificates
from tests.support.collector import FakeCollector
from tests.support.requests import ACCEPTED, BODY, deadline, endpoint_of, kind, logs_endpoint, send
from tests.support.tcp_server import resets, responds, tcp_server
from tests.support.waiting import wait_until

collector = fixtures.collector


@pytest.fixture
def http_collector() -> Iterator[FakeCollector]:
    with FakeCollector() as collector:
        yield collector


class TestRequest:
    def test_request_is_otlp_over_http(self, transport: Transport, http_collector: FakeCollector) -> None:
        collector = http_collector
        endpoint = logs_endpoint(collector, headers={"api-key": "k", "x-name": "ü"})

        assert send(transport, endpoint) == ACCEPTED

        request = collector.requests[0]
        assert (request.path, request.body, request.is_accepted) == ("/v1/logs", BODY, True)
        assert request.headers == {
            "host": f"127.0.0.1:{collector.port}",
            "user-agent": "telemetry-forwarder/0.1.0 OTel-OTLP-Exporter-Python/0.1.0",
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            "content-length": str(request.wire_bytes),
            "api-key": "k",
            "x-name": "ü".encode().decode("latin-1"),
        }

    def test_compression_can_be_turned_off(self, transport: Transport, collector: FakeCollector) -> None:
        send(transport, logs_endpoint(collector, compression="none"))

        request = collector.requests[0]
        # A message of gRPC has a prefix of 5 bytes.
        assert (request.body, request.wire_bytes) == (BODY, len(BODY) + 5 * collector.is_grpc)
        assert not {"content-encoding", "grpc-encoding"} & request.headers.keys()

    def test_headers_of_the_user_take_precedence(self, transport: Transport, collector: FakeCollector) -> None:
        send(transport, logs_endpoint(collector, headers={"user-agent": "mine", "host": "h"}))

        assert collector.requests[0].headers["user-agent"] == "mine"
        assert collector.requests[0].headers["host"] == "h"

    def test_signals_to_one_server_share_a_connection(self, transport: Transport, collector: FakeCollector) -> None:
        for signal in (LOGS, SPANS, METRICS):
            endpoint = endpoint_of(collector, signal)
            assert transport.send(transport.sender(endpoint), b"", deadline()) == ACCEPTED

        assert (collector.connections, len(collector.requests)) == (1, 3)

    def test_no_connection_is_opened_before_a_request(self, transport: Transport, collector: FakeCollector) -> None:
        endpoint = logs_endpoint(collector)
        transport.sender(endpoint)
        transport.sender(Endpoint(SPANS, "https://127.0.0.1:1/v1/traces"))

        assert collector.connections == 0
        assert send(transport, endpoint) == ACCEPTED


class TestResponse:
    def test_response_has_its_status_body_and_the_kept_headers(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        headers = {"Retry-After": "3", "Location": "/x", "X-Other": "y", "Content-Type": "text/plain"}
        collector.script(c.Response(status=429, headers=headers, body=b"slower"))

        outcome = send(transport, logs_endpoint(collector))

        assert isinstance(outcome, Response)
        assert (outcome.status, outcome.body) == (429, b"slower")
        assert outcome.headers == {"content-type": "text/plain", "retry-after": "3", "location": "/x"}

    def test_redirect_is_not_followed(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Response(status=307, headers={"Location": f"{collector.endpoint}/v1/logs"}))

        assert kind(send(transport, logs_endpoint(collector))) == 307
        assert len(collector.requests) == 1

    def test_endless_body_is_cut(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Endless(status=400, piece=b"x" * 50_000))

        outcome = send(transport, logs_endpoint(collector))

        assert isinstance(outcome, Response)
        assert outcome.status == 400
        assert outcome.body == b"x" * 65_536

    def test_body_that_never_ends_is_cut_at_the_deadline(self, transport: Transport) -> None:
        has_begun, ends = threading.Event(), threading.Event()

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
            for _ in range(20):
                connection.sendall(b"x")
                ends.wait(0.005)
            has_begun.set()
            while not ends.wait(0.005):
                connection.sendall(b"x")

        outcomes = []
        with tcp_server(serve) as url:
            sending = threading.Thread(target=lambda: outcomes.append(send(transport, Endpoint(LOGS, url), 3_600)))
            sending.start()
            assert has_begun.wait(30)
            transport.limit_time(deadline(0.1))
            sending.join()
            ends.set()

        (outcome,) = outcomes
        assert isinstance(outcome, Response)
        assert (outcome.status, set(outcome.body)) == (200, set(b"x"))

    @pytest.mark.parametrize(
        "data",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense",
        ],
    )
    def test_status_counts_even_if_the_body_is_incomplete(
        self, transport: Transport, http_collector: FakeCollector, data: bytes
    ) -> None:
        http_collector.script(c.Raw(data=data))

        assert send(transport, logs_endpoint(http_collector)) == Response(200, {}, b"half", is_whole=False)

    @pytest.mark.parametrize(
        "data", [b"HTTP/1.0 200 OK\r\n\r\nbody", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"]
    )
    def test_response_is_whole_once_its_body_has_ended(
        self, transport: Transport, http_collector: FakeCollector, data: bytes
    ) -> None:
        http_collector.script(c.Raw(data=data))

        assert send(transport, logs_endpoint(http_collector)) == Response(200, {}, b"body")

    def test_next_request_works_after_a_response_that_was_cut(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        collector.script(c.Endless())
        send(transport, logs_endpoint(collector))

        assert send(transport, logs_endpoint(collector)) == ACCEPTED
        assert collector.connections == 2


class TestFailure:
    @pytest.mark.parametrize(
        "step",
        [
            c.HangUp(),
            c.HangUp(resets=False),
            c.HangUp(when=c.When.BEFORE_BODY),
            c.HangUp(when=c.When.MID_BODY),
            c.Raw(data=b"SSH-2.0-OpenSSH\r\n\r\n"),
            c.Raw(data=b""),
        ],
    )
    def test_connection_that_ends_without_a_response_is_broken(
        self, transport: Transport, collector: FakeCollector, step: c.Step
    ) -> None:
        collector.script(step)

        assert kind(send(transport, logs_endpoint(collector))) is FailureKind.BROKEN
        assert collector.connections == 1

    def test_server_that_hangs_up_while_a_large_body_is_sent(self, transport: Transport) -> None:
        with tcp_server(resets) as url:
            sender = transport.sender(Endpoint(LOGS, url, compression="none"))
            outcome = transport.send(sender, bytes(20_000_000), deadline())

        assert kind(outcome) is FailureKind.BROKEN

    def test_refused_connection(self, transport: Transport, collector: FakeCollector) -> None:
        collector.refuse()

        assert send(transport, logs_endpoint(collector)) == Failure(
            FailureKind.UNREACHABLE, "Connection refused", Cause.REFUSED
        )

    def test_unknown_name(self, transport: Transport) -> None:
        outcome = send(transport, Endpoint(LOGS, "http://nobody.invalid/v1/logs"))

        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.UNREACHABLE
        assert outcome.detail.startswith("nobody.invalid: ")

    def test_invalid_header_is_not_quoted(self, transport: Transport, http_collector: FakeCollector) -> None:
        outcome = send(transport, logs_endpoint(http_collector, headers={"api-key": "SECRET\n"}))

        assert outcome == Failure(FailureKind.BROKEN, "the request is not HTTP")


class TestDeadline:
    """None of these servers ever lets the request end: only the deadline does."""

    def test_no_time_left_at_all(self, transport: Transport, collector: FakeCollector) -> None:
        outcome = send(transport, logs_endpoint(collector), 0)

        assert outcome == Failure(FailureKind.UNREACHABLE, "no connection in time", Cause.LATE)
        assert collector.connections == 0

    def test_server_that_does_not_respond(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Hang())
        end = deadline(0.3)

        outcome = transport.send(transport.sender(logs_endpoint(collector)), b"", end)

        assert outcome == Failure(FailureKind.TIMED_OUT, "no response in time", Cause.LATE)
        assert end.is_over()

    def test_server_that_never_ends_its_status_line(self, transport: Transport) -> None:
        ends = threading.Event()

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 ")
            while not ends.wait(0.01):
                connection.sendall(b"x")

        with tcp_server(serve) as url:
            outcome = send(transport, Endpoint(LOGS, url), 0.3)
            ends.set()

        assert kind(outcome) is FailureKind.TIMED_OUT

    def test_server_that_does_not_read(self, transport: Transport) -> None:
        ends = threading.Event()
        with tcp_server(lambda _: ends.wait()) as url:
            sender = transport.sender(Endpoint(LOGS, url, compression="none"))
            outcome = transport.send(sender, bytes(20_000_000), deadline(0.3))
            ends.set()

        assert kind(outcome) is FailureKind.TIMED_OUT

    def test_slow_response_before_the_deadline(self, transport: Transport, collector: FakeCollector) -> None:
        # Longer than a slice of the wait.
        collector.script(c.Response(after_s=0.3))

        assert send(transport, logs_endpoint(collector)) == ACCEPTED

    def test_hurry_ends_the_running_request_and_those_that_follow(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        collector.script(then=c.Hang())
        outcomes = []
        sending = threading.Thread(target=lambda: outcomes.append(send(transport, logs_endpoint(collector), 3_600)))
        sending.start()
        assert collector.wait_for(lambda: collector.requests, 30)

        transport.limit_time(deadline(0.1))
        sending.join()
        outcomes.append(send(transport, logs_endpoint(collector), 3_600))

        assert [kind(outcome) for outcome in outcomes] == [FailureKind.TIMED_OUT, FailureKind.UNREACHABLE]


class TestAddresses:
    def test_address_at_which_a_request_fails_is_tried_last(self, captured: CapturedLog) -> None:
        """It accepts connections, but nothing behind it responds."""
        with FakeCollector() as first, FakeCollector() as second:
            transport = Transport(captured.diagnostics(Clock()), resolver(first.port, second.port))
            first.script(then=c.HangUp())
            endpoint = Endpoint(LOGS, "http://collector/v1/logs")

            outcomes = [kind(send(transport, endpoint)) for _ in range(3)]

            assert outcomes == [FailureKind.BROKEN, 200, 200]
            assert (first.connections, second.connections) == (1, 1)
            transport.close()

    @pytest.mark.parametrize("proxy", ["", "http://proxy"])
    def test_dead_first_address_costs_neither_the_time_nor_the_request(
        self, captured: CapturedLog, silent_port: int, proxy: str
    ) -> None:
        with FakeCollector() as collector:
            transport = Transport(captured.diagnostics(Clock()), resolver(silent_port, collector.port))
            endpoint = Endpoint(LOGS, "http://collector/v1/logs", proxy=proxy)
            until = deadline(120.0)

            outcome = transport.send(transport.sender(endpoint), BODY, until)

            # The collector is no proxy.
            assert kind(outcome) == (404 if proxy else 200)
            assert until.left_s() > 90.0
            transport.close()


class TestIdleConnections:
    """What happens to idle connections while the sandbox is frozen is no failure."""

    def test_connection_that_was_closed_is_opened_again(self, transport: Transport, collector: FakeCollector) -> None:
        send(transport, logs_endpoint(collector))
        collector.drop_connections()

        assert send(transport, logs_endpoint(collector)) == ACCEPTED
        assert collector.connections == 2

    def test_connection_closed_right_after_the_response(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Response(closes_silently=True), c.Response(closes_silently=True))

        assert [send(transport, logs_endpoint(collector)) for _ in range(3)] == [ACCEPTED] * 3

    @pytest.mark.parametrize("resets", [True, False])
    def test_dead_connection_costs_one_more_request(
        self, transport: Transport, collector: FakeCollector, resets: bool
    ) -> None:
        send(transport, logs_endpoint(collector))
        collector.script(c.HangUp(resets=resets))

        assert send(transport, logs_endpoint(collector)) == ACCEPTED
        assert collector.connections == 2

    def test_new_connection_that_breaks_as_well_is_a_failure(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        send(transport, logs_endpoint(collector))
        collector.script(c.HangUp(), c.HangUp())

        assert kind(send(transport, logs_endpoint(collector))) is FailureKind.BROKEN
        assert len(collector.requests) == 3

    def test_several_dead_connections_are_all_skipped(self, transport: Transport, collector: FakeCollector) -> None:
        gate = threading.Event()
        collector.script(*[c.Hang(until=gate)] * 4)
        threads = [threading.Thread(target=send, args=(transport, logs_endpoint(collector))) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert collector.wait_for(lambda: len(collector.requests) == 4, 30)
        gate.set()
        for thread in threads:
            thread.join()
        collector.script(*[c.HangUp()] * 4)

        assert send(transport, logs_endpoint(collector)) == ACCEPTED
        assert collector.connections == 5


class TestTls:
    @pytest.mark.parametrize("grpc", [False, True])
    def test_authority_of_the_endpoint_is_trusted(
        self, transport: Transport, certificates: Certificates, grpc: bool
    ) -> None:
        with FakeCollector(tls=certificates.server, grpc=grpc) as collector:
            endpoint = logs_endpoint(collector, certificate=certificates.ca)

            assert [send(transport, endpoint), send(transport, endpoint)] == [ACCEPTED, ACCEPTED]
            assert collector.connections == 1

    @pytest.mark.parametrize("grpc", [False, True])
    def test_unknown_authority_is_not_trusted(
        self, transport: Transport, certificates: Certificates, grpc: bool
    ) -> None:
        with FakeCollector(tls=certificates.server, grpc=grpc) as collector:
            outcome = send(transport, logs_endpoint(collector))

        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.UNTRUSTED
        assert "certificate" in outcome.detail

    @pytest.mark.parametrize("grpc", [False, True])
    def test_client_certificate_is_sent(self, transport: Transport, certificates: Certificates, grpc: bool) -> None:
        certificate, key = certificates.client
        with FakeCollector(tls=certificates.server, client_ca=certificates.ca, grpc=grpc) as collector:
            without = logs_endpoint(collector, certificate=certificates.ca)
            including = logs_endpoint(
                collector, certificate=certificates.ca, client_certificate=certificate, client_key=key
            )

            kinds = [kind(send(transport, endpoint)) for endpoint in (without, including)]

        assert kinds == [FailureKind.UNTRUSTED, 200]

    @pytest.mark.parametrize("grpc", [False, True])
    def test_files_that_cannot_be_used_cause_one_warning_each_for_all_signals(
        self, transport: Transport, captured: CapturedLog, tmp_path: Path, grpc: bool
    ) -> None:
        junk = tmp_path / "junk.pem"
        junk.write_text("junk")
        options: Any = {"certificate": str(junk), "client_certificate": str(junk), "client_key": "/nowhere.key"}
        protocol = GRPC if grpc else HTTP_PROTOBUF

        for signal in (LOGS, SPANS, METRICS):
            send(transport, Endpoint(signal, "https://127.0.0.1:1/", protocol=protocol, **options))

        assert [line.startswith("WARN ") for line in captured.lines] == [True, True]

    @pytest.mark.parametrize("grpc", [False, True])
    def test_requests_fail_until_a_file_is_read_and_then_work(
        self, transport: Transport, certificates: Certificates, tmp_path: Path, grpc: bool
    ) -> None:
        pipe = tmp_path / "ca.pem"
        os.mkfifo(pipe)
        with FakeCollector(tls=certificates.server, grpc=grpc) as collector:
            variables = {"CERTIFICATE": "SSL_CERT_FILE"}
            endpoint = logs_endpoint(collector, certificate=str(pipe), variables=variables)

            outcome = send(transport, endpoint)
            pipe.write_bytes(Path(certificates.ca).read_bytes())

            reason = f"SSL_CERT_FILE: certificate '{pipe}' has not been read yet"
            assert outcome == Failure(FailureKind.UNTRUSTED, reason)
            wait_until(lambda: kind(send(transport, endpoint)) == 200)
            assert kind(send(transport, endpoint)) == 200
            assert collector.connections == 1
            transport.close()

    def test_file_that_never_answers_ends_at_the_deadline(self, transport: Transport, tmp_path: Path) -> None:
        pipe = tmp_path / "ca.pem"
        os.mkfifo(pipe)

        outcome = send(transport, Endpoint(LOGS, "https://127.0.0.1:1/", certificate=str(pipe)), 0.1)

        assert isinstance(outcome, Failure)
        transport.close()

    @pytest.mark.parametrize("data", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    def test_server_without_tls(self, transport: Transport, data: bytes) -> None:
        with tcp_server(responds(data)) as url:
            outcome = send(transport, Endpoint(LOGS, url.replace("http:", "https:")))

        assert kind(outcome) is (FailureKind.UNTRUSTED if data else FailureKind.UNREACHABLE)

    def test_handshake_that_is_reset(self, transport: Transport) -> None:
        with tcp_server(resets) as url:
            outcome = send(transport, Endpoint(LOGS, url.replace("http:", "https:")))

        assert outcome == Failure(FailureKind.UNREACHABLE, "closed during the TLS handshake", Cause.CLOSED)

    def test_handshake_that_hangs_ends_at_the_deadline(self, transport: Transport) -> None:
        ends = threading.Event()
        with tcp_server(lambda _: ends.wait()) as url:
            outcome = send(transport, Endpoint(LOGS, url.replace("http:", "https:")), 0.3)
            ends.set()

        assert outcome == Failure(FailureKind.UNREACHABLE, "no connection in time", Cause.LATE)
