"""The relay passes requests and answers on, and keeps exactly what was accepted."""

import gzip
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.conformance.requirements import rotel_binary
from tests.demo.back_end import OwnReceiver, Relay, RotelReceiver, receiver
from tests.demo.messages import counter, log
from tests.support.collector import FakeCollector, Response

HEADERS = {"Content-Type": "application/x-protobuf", "api-key": "secret"}
MESSAGE = log("line", at=0)
BODY = MESSAGE[1].SerializeToString()


@pytest.fixture
def relay(collector: FakeCollector) -> Iterator[Relay]:
    with Relay(f"{collector.endpoint}/") as relay:
        yield relay


def post(relay: Relay, body: bytes = BODY, **headers: str) -> httpx.Response:
    return httpx.post(f"{relay.endpoint}/v1/logs", content=body, headers=HEADERS | headers, trust_env=False)


def test_request_goes_on_as_it_is(relay: Relay, collector: FakeCollector) -> None:
    response = post(relay)

    [request] = collector.requests
    assert response.status_code == 200
    assert (request.path, request.body, request.headers["api-key"]) == ("/v1/logs", BODY, "secret")
    assert relay.messages() == [MESSAGE]


def test_compressed_request_stays_compressed(relay: Relay, collector: FakeCollector) -> None:
    packed = gzip.compress(BODY)

    post(relay, packed, **{"Content-Encoding": "gzip"})

    assert collector.requests[0].wire_bytes == len(packed)
    assert relay.messages() == [MESSAGE]


def test_refusal_comes_back_and_nothing_is_kept(relay: Relay, collector: FakeCollector) -> None:
    collector.script(Response(status=429, headers={"Retry-After": "7"}, message="slow down"))

    response = post(relay)

    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert b"slow down" in response.content
    assert relay.messages() == []


def test_rejected_items_are_not_kept(relay: Relay, collector: FakeCollector) -> None:
    collector.script(Response(rejected=1))
    two = type(MESSAGE[1])()
    two.MergeFrom(MESSAGE[1])
    two.MergeFrom(log("second", at=1)[1])

    post(relay, two.SerializeToString())

    [(_, kept)] = relay.messages()
    assert [len(resource.scope_logs[0].log_records) for resource in kept.resource_logs] == [1, 0]


def test_answer_that_is_not_otlp_has_accepted_everything(relay: Relay, collector: FakeCollector) -> None:
    collector.script(Response(body=b"<html>thank you</html>"))

    assert post(relay).content == b"<html>thank you</html>"
    assert relay.messages() == [MESSAGE]


def test_back_end_that_does_not_answer_is_a_bad_gateway() -> None:
    with Relay("http://127.0.0.1:1") as relay:
        response = post(relay)

        assert response.status_code == 502
        assert "http://127.0.0.1:1" in response.text
        assert relay.messages() == []


def test_metrics_have_their_own_path(relay: Relay, collector: FakeCollector) -> None:
    path, message = counter("faas.errors", 1)

    httpx.post(relay.endpoint + path, content=message.SerializeToString(), headers=HEADERS, trust_env=False)

    assert collector.accepted(path) == 1
    assert relay.messages() == [(path, message)]


def test_rotel_is_the_receiver() -> None:
    with receiver() as rotel:
        httpx.post(f"{rotel.endpoint}/v1/logs", content=BODY, headers=HEADERS, trust_env=False)

        assert isinstance(rotel, RotelReceiver)
        assert rotel.collector.wait_for(rotel.messages, 30)
        assert rotel.messages() == [MESSAGE]
        assert "rotel, a collector used in production" in rotel.name


def test_python_without_rotel_has_another_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rotel", None)
    rotel_binary.cache_clear()

    with receiver() as back_end:
        httpx.post(f"{back_end.endpoint}/v1/logs", content=BODY, headers=HEADERS, trust_env=False)

        assert isinstance(back_end, OwnReceiver)
        assert back_end.messages() == [MESSAGE]
        assert "rotel is not installed" in back_end.name
