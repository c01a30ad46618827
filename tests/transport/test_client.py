"""The transport with its sockets, against a server that behaves, or lies, as a test says."""

import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response
from tests.support import collector as c
from tests.support.batches import batch
from tests.support.captured_log import CapturedLog
from tests.support.certificates import Certificates, issue_certificates
from tests.support.collector import FakeCollector

BODY = batch(LOGS, 2).body
TOOK = Response(200, {"content-type": "application/x-protobuf"}, b"")


@pytest.fixture
def transport() -> Iterator[Transport]:
    with CapturedLog() as captured:
        transport = Transport(captured.diagnostics(Clock()))
        yield transport
        transport.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue_certificates(tmp_path_factory.mktemp("certificates"))


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds, Clock())


def logs(to: FakeCollector, **options: Any) -> Endpoint:
    return Endpoint(LOGS, f"{to.endpoint}/v1/logs", **options)


def send(transport: Transport, endpoint: Endpoint, deadline: Deadline | None = None) -> Response | Failure:
    return transport.send(endpoint, transport.packed(endpoint, BODY), deadline or soon())


def kind(outcome: Response | Failure) -> FailureKind | int:
    return outcome.kind if isinstance(outcome, Failure) else outcome.status


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on one connection at a time, that says what *talk* says; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                # The client may go at any time.
                with connection, suppress(OSError):
                    talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


class TestRequest:
    def test_it_is_otlp(self, transport: Transport, collector: FakeCollector) -> None:
        endpoint = logs(collector, headers={"api-key": "k", "x-name": "ü"})

        assert send(transport, endpoint) == TOOK

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

    def test_without_compression(self, transport: Transport, collector: FakeCollector) -> None:
        send(transport, logs(collector, compression="none"))

        request = collector.requests[0]
        assert (request.body, request.wire_bytes) == (BODY, len(BODY))
        assert "content-encoding" not in request.headers

    def test_the_users_word_on_a_header_wins(self, transport: Transport, collector: FakeCollector) -> None:
        send(transport, logs(collector, headers={"user-agent": "mine", "host": "h"}))

        assert collector.requests[0].headers["user-agent"] == "mine"
        assert collector.requests[0].headers["host"] == "h"

    def test_packed_is_gzip_only_where_it_is_wanted(self, transport: Transport) -> None:
        endpoint = Endpoint(LOGS, "http://h/")

        assert gzip.decompress(transport.packed(endpoint, BODY)) == BODY

    def test_signals_to_one_server_share_a_connection(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        for signal in (LOGS, SPANS, METRICS):
            endpoint = Endpoint(signal, f"{collector.endpoint}/v1/{signal}")
            assert transport.send(endpoint, transport.packed(endpoint, b""), soon()) == TOOK

        assert (collector.connections, len(collector.requests)) == (1, 3)

    def test_warming_up_connects_to_nobody(self, transport: Transport, collector: FakeCollector) -> None:
        transport.warm([logs(collector), Endpoint(SPANS, "https://127.0.0.1:1/v1/traces")])

        assert collector.connections == 0
        assert send(transport, logs(collector)) == TOOK


class TestAnswer:
    def test_it_is_handed_on_with_the_headers_that_matter(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        headers = {"Retry-After": "3", "Location": "/x", "X-Other": "y", "Content-Type": "text/plain"}
        collector.script(c.Response(status=429, headers=headers, body=b"slower"))

        assert send(transport, logs(collector)) == Response(
            429, {"content-type": "text/plain", "retry-after": "3", "location": "/x"}, b"slower"
        )

    def test_redirect_is_not_followed(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Response(status=307, headers={"Location": f"{collector.endpoint}/v1/logs"}))

        assert kind(send(transport, logs(collector))) == 307
        assert len(collector.requests) == 1

    def test_body_without_end_is_cut(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Endless(status=400, piece=b"x" * 50_000))

        outcome = send(transport, logs(collector))

        assert isinstance(outcome, Response)
        assert (outcome.status, outcome.body) == (400, b"x" * 65_536)

    def test_body_that_trickles_ends_with_the_deadline(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        collector.script(c.Endless(piece=b"x", every_s=0.01))
        started = time.monotonic()

        outcome = send(transport, logs(collector), soon(0.1))

        assert isinstance(outcome, Response)
        assert outcome.status == 200
        assert set(outcome.body) <= set(b"x")
        assert time.monotonic() - started < 1

    @pytest.mark.parametrize(
        "data",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense",
        ],
    )
    def test_status_counts_even_if_the_body_breaks_off(
        self, transport: Transport, collector: FakeCollector, data: bytes
    ) -> None:
        collector.script(c.Raw(data=data))

        assert send(transport, logs(collector)) == Response(200, {}, b"half")

    def test_after_an_answer_that_was_cut_the_next_request_works(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        collector.script(c.Endless())
        send(transport, logs(collector))

        assert send(transport, logs(collector)) == TOOK
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
    def test_connection_that_ends_without_an_answer_is_broken(
        self, transport: Transport, collector: FakeCollector, step: c.Step
    ) -> None:
        collector.script(step)

        assert kind(send(transport, logs(collector))) is FailureKind.BROKEN
        assert collector.connections == 1

    def test_server_that_hangs_up_while_much_is_being_sent(self, transport: Transport) -> None:
        with server(_reset) as url:
            outcome = transport.send(Endpoint(LOGS, url), bytes(20_000_000), soon())

        assert kind(outcome) is FailureKind.BROKEN

    def test_refused(self, transport: Transport, collector: FakeCollector) -> None:
        collector.refuse()

        assert send(transport, logs(collector)) == Failure(FailureKind.UNREACHABLE, "Connection refused")

    def test_unknown_name(self, transport: Transport) -> None:
        outcome = send(transport, Endpoint(LOGS, "http://nobody.invalid/v1/logs"))

        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.UNREACHABLE
        assert outcome.detail.startswith("nobody.invalid: ")

    def test_no_time_left_at_all(self, transport: Transport, collector: FakeCollector) -> None:
        outcome = send(transport, logs(collector), soon(0))

        assert outcome == Failure(FailureKind.UNREACHABLE, "no connection in time")
        assert collector.connections == 0

    def test_header_that_is_none_is_not_quoted(self, transport: Transport, collector: FakeCollector) -> None:
        outcome = send(transport, logs(collector, headers={"api-key": "SECRET\n"}))

        assert outcome == Failure(FailureKind.BROKEN, "the request is not HTTP")


class TestDeadline:
    def test_silence(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Hang())
        started = time.monotonic()

        outcome = send(transport, logs(collector), soon(0.1))

        assert outcome == Failure(FailureKind.TIMED_OUT, "no response in time")
        assert 0.1 <= time.monotonic() - started < 1

    def test_head_that_trickles(self, transport: Transport) -> None:
        def trickle(connection: socket.socket) -> None:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)

        with server(trickle) as url:
            started = time.monotonic()
            outcome = send(transport, Endpoint(LOGS, url), soon(0.1))

            assert kind(outcome) is FailureKind.TIMED_OUT
            assert time.monotonic() - started < 1

    def test_server_that_does_not_read(self, transport: Transport) -> None:
        ends = threading.Event()
        with server(lambda _: (ends.wait(), None)[1]) as url:
            started = time.monotonic()
            # Longer than a slice of the wait.
            outcome = transport.send(Endpoint(LOGS, url), bytes(20_000_000), soon(0.3))
            ends.set()

        assert kind(outcome) is FailureKind.TIMED_OUT
        assert time.monotonic() - started < 1

    def test_slow_answer_within_it(self, transport: Transport, collector: FakeCollector) -> None:
        # Longer than a slice of the wait.
        collector.script(c.Response(after_s=0.3))

        assert send(transport, logs(collector)) == TOOK

    def test_hurry_shortens_what_is_under_way_and_all_that_follows(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        collector.script(c.Hang(), c.Hang())
        started = time.monotonic()
        outcomes = []
        sending = threading.Thread(target=lambda: outcomes.append(send(transport, logs(collector))))
        sending.start()
        collector.wait_for(lambda: collector.requests, 5)

        transport.hurry(soon(0.1))
        sending.join()
        outcomes.append(send(transport, logs(collector)))

        assert [kind(outcome) for outcome in outcomes] == [FailureKind.TIMED_OUT, FailureKind.UNREACHABLE]
        assert time.monotonic() - started < 1


class TestFreeze:
    """What happens to idle connections while the process is frozen is no failure."""

    def test_connection_that_was_closed_is_opened_again(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        send(transport, logs(collector))
        collector.drop_connections()

        assert send(transport, logs(collector)) == TOOK
        assert collector.connections == 2

    def test_connection_closed_behind_the_answer(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        collector.script(c.Response(closes_silently=True), c.Response(closes_silently=True))

        assert [send(transport, logs(collector)) for _ in range(3)] == [TOOK] * 3

    @pytest.mark.parametrize("resets", [True, False])
    def test_connection_that_turns_out_to_be_dead_costs_one_more_request(
        self, transport: Transport, collector: FakeCollector, resets: bool
    ) -> None:
        send(transport, logs(collector))
        collector.script(c.HangUp(resets=resets))

        assert send(transport, logs(collector)) == TOOK
        assert collector.connections == 2

    def test_a_new_connection_that_breaks_as_well_is_a_failure(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        send(transport, logs(collector))
        collector.script(c.HangUp(), c.HangUp())

        assert kind(send(transport, logs(collector))) is FailureKind.BROKEN
        assert len(collector.requests) == 3

    def test_several_dead_connections_are_all_passed_over(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        gate = threading.Event()
        collector.script(*[c.Hang(until=gate)] * 4)
        threads = [threading.Thread(target=send, args=(transport, logs(collector))) for _ in range(4)]
        for thread in threads:
            thread.start()
        collector.wait_for(lambda: len(collector.requests) == 4, 5)
        gate.set()
        for thread in threads:
            thread.join()
        collector.script(*[c.HangUp()] * 4)

        assert send(transport, logs(collector)) == TOOK
        assert collector.connections == 5


class TestTls:
    def test_given_authority_is_trusted(self, transport: Transport, certificates: Certificates) -> None:
        with FakeCollector(tls=certificates.server) as collector:
            endpoint = logs(collector, certificate=certificates.ca)

            assert [send(transport, endpoint), send(transport, endpoint)] == [TOOK, TOOK]
            assert collector.connections == 1

    def test_unknown_authority_is_not(self, transport: Transport, certificates: Certificates) -> None:
        with FakeCollector(tls=certificates.server) as collector:
            outcome = send(transport, logs(collector))

        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.UNTRUSTED
        assert "certificate" in outcome.detail

    def test_client_certificate_is_shown(self, transport: Transport, certificates: Certificates) -> None:
        certificate, key = certificates.client
        with FakeCollector(tls=certificates.server, client_ca=certificates.ca) as collector:
            outcomes = [
                send(transport, logs(collector, certificate=certificates.ca)),
                send(
                    transport,
                    logs(
                        collector,
                        certificate=certificates.ca,
                        client_certificate=certificate,
                        client_key=key,
                    ),
                ),
            ]

        assert [kind(outcome) for outcome in outcomes] == [FailureKind.UNTRUSTED, 200]

    @pytest.mark.parametrize("first_words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    def test_no_handshake(self, transport: Transport, first_words: bytes) -> None:
        def talk(connection: socket.socket) -> None:
            connection.recv(65_536)
            connection.sendall(first_words)

        with server(talk) as url:
            outcome = send(transport, Endpoint(LOGS, url.replace("http:", "https:")))

        assert kind(outcome) is (FailureKind.UNTRUSTED if first_words else FailureKind.UNREACHABLE)

    def test_handshake_that_is_reset(self, transport: Transport) -> None:
        with server(_reset) as url:
            outcome = send(transport, Endpoint(LOGS, url.replace("http:", "https:")))

        assert outcome == Failure(FailureKind.UNREACHABLE, "closed during the TLS handshake")

    def test_handshake_that_hangs(self, transport: Transport) -> None:
        ends = threading.Event()
        with server(lambda _: (ends.wait(), None)[1]) as url:
            outcome = send(transport, Endpoint(LOGS, url.replace("http:", "https:")), soon(0.3))
            ends.set()

        assert outcome == Failure(FailureKind.UNREACHABLE, "no connection in time")


class TestProxy:
    def test_proxy_may_want_a_password_without_a_name(
        self, transport: Transport, collector: FakeCollector
    ) -> None:
        proxy = collector.endpoint.replace("//", "//:token@")

        send(transport, Endpoint(LOGS, "http://nobody.invalid/v1/logs", proxy=proxy))

        assert collector.requests[0].headers["proxy-authorization"] == "Basic OnRva2Vu"

    def test_plain_http_is_asked_of_the_proxy(self, transport: Transport, collector: FakeCollector) -> None:
        proxy = collector.endpoint.replace("//", "//me:p%40ss@")

        send(transport, Endpoint(LOGS, "http://nobody.invalid/v1/logs", proxy=proxy))

        request = collector.requests[0]
        assert request.path == "http://nobody.invalid/v1/logs"
        assert request.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
        assert request.headers["host"] == "nobody.invalid"

    def test_https_goes_through_a_tunnel(self, transport: Transport, certificates: Certificates) -> None:
        with FakeCollector(tls=certificates.server) as collector, server(_tunnel) as proxy:
            endpoint = logs(collector, certificate=certificates.ca, proxy=proxy)

            assert send(transport, endpoint) == TOOK
            transport.close()

    def test_name_that_no_certificate_can_have(self, transport: Transport) -> None:
        def take(connection: socket.socket) -> None:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        with server(take) as proxy:
            outcome = send(transport, Endpoint(LOGS, "https://.invalid/", proxy=proxy))

        assert kind(outcome) is FailureKind.UNTRUSTED

    def test_proxy_that_refuses_is_named(self, transport: Transport) -> None:
        def refuse(connection: socket.socket) -> None:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

        with server(refuse) as proxy:
            outcome = send(transport, Endpoint(LOGS, "https://nobody.invalid/", proxy=proxy))

        assert outcome == Failure(FailureKind.UNREACHABLE, "proxy: 407 Proxy Authentication Required")


def _reset(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _tunnel(client: socket.socket) -> None:
    """Do what a proxy does on CONNECT."""
    target = client.recv(65_536).split()[1].decode()
    host, _, port = target.partition(":")
    with socket.create_connection((host, int(port))) as upstream:
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(upstream, client))
        back.start()
        _pump(client, upstream)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # One of them has gone.
