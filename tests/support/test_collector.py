import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from tests.support.certificates import issue_certificates
from tests.support.collector import OK, Endless, FakeCollector, Hang, HangUp, Raw, Response, When
from tests.support.otlp_messages import LOGS, METRICS, SPANS, plain

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


def some_logs(*bodies: str) -> bytes:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="faas.name", value=AnyValue(string_value="orders"))
    scope = resource.scope_logs.add()
    for body in bodies:
        scope.log_records.add(body=AnyValue(string_value=body))
    return bytes(request.SerializeToString())


def post(client: httpx.Client, collector: FakeCollector, content: bytes = b"", path: str = LOGS) -> httpx.Response:
    return client.post(collector.endpoint + path, content=content, headers=PROTOBUF)


def bodies(collector: FakeCollector) -> list[str]:
    return [record.body.string_value for _, _, record in collector.logs()]


def test_logs_are_accepted_and_read_back(collector: FakeCollector, client: httpx.Client) -> None:
    response = post(client, collector, some_logs("one", "two"))

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/x-protobuf"
    [(resource, _, first), (_, _, second)] = collector.logs()
    assert resource == {"faas.name": "orders"}
    assert [first.body.string_value, second.body.string_value] == ["one", "two"]
    assert collector.accepted(LOGS) == 2


def test_spans_and_metrics_are_accepted_and_read_back(collector: FakeCollector, client: httpx.Client) -> None:
    spans = ExportTraceServiceRequest()
    spans.resource_spans.add().scope_spans.add().spans.add(name="orders")
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="faas.errors")
    metric.sum.data_points.add(as_int=3)
    metric.sum.data_points.add(as_int=4)

    post(client, collector, spans.SerializeToString(), SPANS)
    post(client, collector, metrics.SerializeToString(), METRICS)

    assert [span.name for _, _, span in collector.spans()] == ["orders"]
    assert [metric.name for _, _, metric in collector.metrics()] == ["faas.errors"]
    assert (collector.accepted(SPANS), collector.accepted(METRICS)) == (1, 2)


def test_gzip_and_chunks_are_decoded(collector: FakeCollector, client: httpx.Client) -> None:
    packed = gzip.compress(some_logs("one"))

    client.post(
        collector.endpoint + LOGS,
        content=iter([packed[:10], packed[10:]]),
        headers={**PROTOBUF, "Content-Encoding": "gzip"},
    )

    [request] = collector.requests
    assert request.body == some_logs("one")
    assert request.wire_bytes == len(packed)
    assert request.headers["transfer-encoding"] == "chunked"
    assert bodies(collector) == ["one"]


@pytest.mark.parametrize(
    ("status", "method", "path", "headers", "content"),
    [
        (404, "POST", "/v1/log", PROTOBUF, b""),
        (405, "PUT", LOGS, PROTOBUF, b""),
        (415, "POST", LOGS, {"Content-Type": "text/plain"}, b""),
        (415, "POST", LOGS, {**PROTOBUF, "Content-Encoding": "br"}, b""),
        (400, "POST", LOGS, {**PROTOBUF, "Content-Encoding": "gzip"}, b"not gzip"),
        (400, "POST", LOGS, PROTOBUF, b"\xff not protobuf"),
        (413, "POST", LOGS, PROTOBUF, some_logs("x" * 1000)),
        (413, "POST", LOGS, {**PROTOBUF, "Content-Encoding": "gzip"}, gzip.compress(some_logs("x" * 1000))),
    ],
)
def test_invalid_request_is_refused_and_recorded(
    collector: FakeCollector,
    client: httpx.Client,
    status: int,
    method: str,
    path: str,
    headers: dict[str, str],
    content: bytes,
) -> None:
    collector.limit_bytes = 1000

    response = client.request(method, collector.endpoint + path, content=content, headers=headers)

    assert response.status_code == status
    assert Status.FromString(response.content).message
    assert [(request.status, request.is_accepted) for request in collector.requests] == [(status, False)]


def test_script_is_followed_then_the_default(collector: FakeCollector, client: httpx.Client) -> None:
    collector.script(
        Response(status=503, headers={"Retry-After": "1"}),
        Response(status=400, message="too old"),
        then=Response(status=429),
    )

    responses = [post(client, collector, some_logs(str(number))) for number in range(4)]

    assert [response.status_code for response in responses] == [503, 400, 429, 429]
    assert responses[0].headers["retry-after"] == "1"
    assert Status.FromString(responses[1].content).message == "too old"
    assert len(collector.requests) == 4
    assert collector.logs() == []


def test_step_with_a_path_waits_for_that_path(collector: FakeCollector, client: httpx.Client) -> None:
    collector.script(Response(status=503, path=SPANS), Response(status=502))

    statuses = [post(client, collector, path=path).status_code for path in (LOGS, LOGS, SPANS, SPANS)]

    assert statuses == [502, 200, 503, 200]


def test_partial_success_rejects_the_last_items(collector: FakeCollector, client: httpx.Client) -> None:
    collector.script(Response(rejected=2, message="too new"))

    response = post(client, collector, some_logs("one", "two", "three"))

    partial_success = ExportLogsServiceResponse.FromString(response.content).partial_success
    assert (partial_success.rejected_log_records, partial_success.error_message) == (2, "too new")
    assert bodies(collector) == ["one"]
    assert collector.accepted(LOGS) == 1


@pytest.mark.parametrize("when", list(When))
def test_reset_at_the_scripted_moment(collector: FakeCollector, client: httpx.Client, when: When) -> None:
    collector.script(HangUp(when=when))
    content = some_logs("x" * 10_000_000)

    with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
        post(client, collector, content)

    [request] = collector.requests
    read_bytes = {When.BEFORE_BODY: 0, When.MID_BODY: len(content) // 2, When.AFTER_BODY: len(content)}
    assert (request.wire_bytes, request.status, request.is_accepted) == (read_bytes[when], None, False)


@pytest.mark.parametrize("resets", [True, False])
def test_request_is_accepted_and_only_the_response_lost(
    collector: FakeCollector, client: httpx.Client, resets: bool
) -> None:
    collector.script(HangUp(accepts=True, resets=resets))

    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        post(client, collector, some_logs("one"))

    assert bodies(collector) == ["one"]


@pytest.mark.parametrize("when", list(When))
def test_hang_ends_when_its_event_is_set(collector: FakeCollector, client: httpx.Client, when: When) -> None:
    end = threading.Event()
    collector.script(Hang(when=when, until=end))

    with pytest.raises(httpx.ReadTimeout):
        client.post(collector.endpoint + LOGS, content=some_logs("one"), headers=PROTOBUF, timeout=0.05)
    assert bodies(collector) == (["one"] if when is When.AFTER_BODY else [])
    end.set()

    assert collector.wait_for(lambda: bodies(collector) == ["one"], timeout_s=5)


def test_closing_the_collector_ends_a_hang(client: httpx.Client) -> None:
    with FakeCollector() as collector:
        collector.script(then=Hang())
        caller = threading.Thread(target=_post_and_fail, args=(collector,))
        caller.start()
        assert collector.wait_for(lambda: collector.requests, timeout_s=5)

    caller.join(timeout=5)
    assert not caller.is_alive()


def _post_and_fail(collector: FakeCollector) -> None:
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.HTTPError):
        post(client, collector, some_logs("one"))


def test_slow_response_is_sent_after_the_request_is_accepted(collector: FakeCollector, client: httpx.Client) -> None:
    collector.script(Response(after_s=0.05))

    response = post(client, collector, some_logs("one"))
    responded = time.monotonic()

    assert response.status_code == 200
    assert responded - collector.requests[0].at_monotonic >= 0.05


def test_refused_connections_come_back_on_the_same_port(collector: FakeCollector, client: httpx.Client) -> None:
    endpoint = collector.endpoint
    post(client, collector)

    with collector.refusing():
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError, httpx.ConnectError)):
            post(client, collector)
        with pytest.raises(httpx.ConnectError):
            post(client, collector)

    assert post(client, collector).status_code == 200
    assert collector.endpoint == endpoint
    assert len(collector.requests) == 2


def test_keep_alive_keeps_one_connection(collector: FakeCollector, client: httpx.Client) -> None:
    for _ in range(3):
        post(client, collector)

    assert [request.connection_number for request in collector.requests] == [1, 1, 1]


def test_connection_can_be_closed_silently_after_a_response(collector: FakeCollector) -> None:
    collector.script(Response(closes_silently=True))

    with socket.create_connection(("127.0.0.1", collector.port), timeout=5) as connection:
        connection.sendall(
            b"POST /v1/logs HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
        )
        with connection.makefile("rb") as reader:
            received = reader.read()

    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"connection" not in received.lower()


def test_idle_connections_can_be_dropped(collector: FakeCollector, client: httpx.Client) -> None:
    post(client, collector)

    collector.drop_connections()
    post(client, collector)

    assert [request.connection_number for request in collector.requests] == [1, 2]


def test_endless_body_ends_when_the_client_closes(collector: FakeCollector, client: httpx.Client) -> None:
    collector.script(Endless(), Endless(piece=b"x", every_s=0.001))

    for wanted_bytes in (10_000_000, 10):
        with client.stream("POST", collector.endpoint + LOGS, headers=PROTOBUF) as response:
            read_bytes = 0
            for piece in response.iter_raw():
                read_bytes += len(piece)
                if read_bytes >= wanted_bytes:
                    break

    assert [request.status for request in collector.requests] == [200, 200]


def test_any_body_and_any_bytes_can_be_sent(collector: FakeCollector, client: httpx.Client) -> None:
    collector.script(
        Response(body=b"\xff garbage"),
        Response(status=307, headers={"Location": "/elsewhere"}),
        Raw(data=b"SSH-2.0-OpenSSH\r\n"),
    )

    assert post(client, collector).content == b"\xff garbage"
    assert post(client, collector).headers["location"] == "/elsewhere"
    with pytest.raises(httpx.RemoteProtocolError):
        post(client, collector)


def test_client_that_trusts_the_authority_is_served(tmp_path: Path) -> None:
    certificates = issue_certificates(tmp_path)

    with (
        FakeCollector(tls=certificates.server, client_ca=certificates.ca) as collector,
        httpx.Client(verify=_context(certificates.ca, certificates.client)) as client,
    ):
        assert collector.endpoint.startswith("https://")
        assert post(client, collector, some_logs("one")).status_code == 200
        assert bodies(collector) == ["one"]


def test_client_that_does_not_trust_the_authority_sends_no_request(tmp_path: Path) -> None:
    certificates = issue_certificates(tmp_path)

    with FakeCollector(tls=certificates.server) as collector, httpx.Client() as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            post(client, collector)

        assert (collector.connections, collector.requests) == (1, [])


def _context(ca: str, client: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(*client)
    return context


def test_wait_for_returns_whether_the_condition_holds(collector: FakeCollector, client: httpx.Client) -> None:
    assert not collector.wait_for(lambda: collector.requests, timeout_s=0.01)

    post(client, collector)

    assert collector.wait_for(lambda: collector.requests, timeout_s=0.01)


def test_values_keep_their_types() -> None:
    values = KeyValueList(
        values=[
            KeyValue(key="int", value=AnyValue(int_value=1)),
            KeyValue(key="float", value=AnyValue(double_value=1.0)),
            KeyValue(key="bool", value=AnyValue(bool_value=True)),
            KeyValue(key="bytes", value=AnyValue(bytes_value=b"1")),
            KeyValue(key="nothing", value=AnyValue()),
            KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="1")]))),
        ]
    )

    read = plain(AnyValue(kvlist_value=values))

    assert repr(read) == repr({"int": 1, "float": 1.0, "bool": True, "bytes": b"1", "nothing": None, "list": ["1"]})


def test_ok_is_the_response_of_a_real_receiver() -> None:
    assert Response() == OK
