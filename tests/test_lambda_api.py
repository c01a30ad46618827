import _thread
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from telemetry_forwarder.errors import LambdaRefusedError, LambdaUnreachableError
from telemetry_forwarder.lambda_api import LambdaApi
from tests.support.fake_lambda import (
    IDENTIFIER,
    NEXT,
    REGISTER,
    SUBSCRIBE,
    Call,
    FakeLambda,
    Response,
    invoke,
    shutdown,
)

NAME = "telemetry-forwarder"


@pytest.fixture
def api(runtime: FakeLambda) -> Iterator[LambdaApi]:
    api = LambdaApi(runtime.runtime_api, NAME)
    yield api
    api.close()


@pytest.fixture
def registered(api: LambdaApi) -> LambdaApi:
    api.register(("INVOKE", "SHUTDOWN"))
    return api


def test_register_sends_the_name_and_the_events(runtime: FakeLambda, api: LambdaApi) -> None:
    api.register(("INVOKE", "SHUTDOWN"))

    headers = {
        "host": runtime.runtime_api,
        "lambda-extension-name": NAME,
        "lambda-extension-accept-feature": "accountId",
        "content-length": "32",
    }
    assert runtime.calls == [Call(REGISTER, headers, b'{"events":["INVOKE","SHUTDOWN"]}', 0)]
    assert api.registration == (
        b'{"functionName": "orders", "functionVersion": "7", "handler": "app.handler", "accountId": "111122223333"}'
    )


def test_name_is_sent_as_the_bytes_of_the_file_name(runtime: FakeLambda) -> None:
    api = LambdaApi(runtime.runtime_api, "é\udcff")

    api.register(("SHUTDOWN",))

    (call,) = runtime.calls
    assert call.headers["lambda-extension-name"].encode("latin-1") == b"\xc3\xa9\xff"
    assert call.body == b'{"events":["SHUTDOWN"]}'
    api.close()


@pytest.mark.parametrize("status", [400, 403, 500])
def test_refused_register_raises_with_lambda_s_response(runtime: FakeLambda, api: LambdaApi, status: int) -> None:
    runtime.respond(REGISTER, Response(status, b'{"errorType":"Extension.TooManyExtensions"}'))

    with pytest.raises(LambdaRefusedError) as caught:
        api.register(("INVOKE",))

    expected = f'Lambda responded with {status} to register: {{"errorType":"Extension.TooManyExtensions"}}'
    assert (str(caught.value), caught.value.status) == (expected, status)


@pytest.mark.parametrize("status", [200, 202, 400, 404, 500])
def test_subscription_returns_its_status(runtime: FakeLambda, registered: LambdaApi, status: int) -> None:
    runtime.respond(SUBSCRIBE, Response(status))

    assert registered.subscribe(b'{"types":[]}') == status

    headers = {
        "host": runtime.runtime_api,
        "lambda-extension-identifier": IDENTIFIER,
        "content-type": "application/json",
        "content-length": "12",
    }
    assert runtime.calls[1:] == [Call(SUBSCRIBE, headers, b'{"types":[]}', 0)]


def test_next_waits_for_events_on_one_connection(runtime: FakeLambda, registered: LambdaApi) -> None:
    events = [invoke("1"), invoke("2"), shutdown()]
    runtime.respond(NEXT, *events)

    assert [registered.next_event() for _ in events] == [event.body for event in events]

    headers = {"host": runtime.runtime_api, "lambda-extension-identifier": IDENTIFIER, "content-length": "0"}
    assert runtime.calls[1:] == [Call(NEXT, headers, b"", 0)] * 3


def test_callback_runs_after_the_request_has_been_sent(runtime: FakeLambda, registered: LambdaApi) -> None:
    def respond_after_request() -> None:
        runtime.wait_for(NEXT)
        runtime.respond(NEXT, invoke("sent after the request"))

    assert b"sent after the request" in registered.next_event(respond_after_request)


@pytest.mark.parametrize("status", [403, 500])
def test_refused_next_raises(runtime: FakeLambda, registered: LambdaApi, status: int) -> None:
    runtime.respond(NEXT, Response(status, b"no"))

    with pytest.raises(LambdaRefusedError, match=f"^Lambda responded with {status} to next: no$"):
        registered.next_event()


def test_chunked_response_is_joined(runtime: FakeLambda, registered: LambdaApi) -> None:
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'
    runtime.respond(NEXT, Response(raw=chunked), invoke())

    assert registered.next_event() == b'{"a":1}'
    assert registered.next_event() == invoke().body


def test_informational_response_is_skipped(runtime: FakeLambda, registered: LambdaApi) -> None:
    runtime.respond(NEXT, Response(raw=b"HTTP/1.1 102 Processing\r\n\r\n" + invoke().wire))

    assert registered.next_event() == invoke().body


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(Response(closes=True), id="silent"),
        pytest.param(Response(headers={"Connection": "close"}, closes=True), id="announced"),
        pytest.param(Response(raw=b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", closes=True), id="http-1.0"),
    ],
)
def test_connection_that_lambda_has_closed_is_reopened(
    runtime: FakeLambda, registered: LambdaApi, last: Response
) -> None:
    runtime.respond(SUBSCRIBE, last)
    runtime.respond(NEXT, invoke())
    registered.subscribe(b"{}")

    assert registered.next_event() == invoke().body

    assert [(call.endpoint, call.connection) for call in runtime.calls] == [(REGISTER, 0), (SUBSCRIBE, 0), (NEXT, 1)]


def test_call_is_repeated_only_once(runtime: FakeLambda, registered: LambdaApi) -> None:
    runtime.respond(NEXT, *[Response(raw=b"", closes=True)] * 2, invoke())

    with pytest.raises(LambdaUnreachableError, match="closed without a response"):
        registered.next_event()

    assert registered.next_event() == invoke().body
    assert runtime.endpoints == [REGISTER, NEXT, NEXT, NEXT]


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"not http\r\n\r\n", id="garbage"),
        pytest.param(b"HTTP/1.1 OK\r\n\r\n", id="no-status"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="request"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", id="too-large"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", id="cut"),
    ],
)
def test_invalid_response_raises(runtime: FakeLambda, registered: LambdaApi, wire: bytes) -> None:
    runtime.respond(NEXT, *[Response(raw=wire, closes=True)] * 2, invoke())

    with pytest.raises(LambdaUnreachableError, match=f"next at {runtime.runtime_api}"):
        registered.next_event()


def test_unreachable_api_raises_and_the_next_call_tries_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
    api = LambdaApi(address, NAME)

    for _ in range(2):
        with pytest.raises(LambdaUnreachableError, match=f"register at {address}: .*refused"):
            api.register(("INVOKE",))
    api.close()


@pytest.mark.parametrize("address", ["", "nonsense", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999", ":::"])
def test_invalid_address_raises(address: str) -> None:
    api = LambdaApi(address, NAME)

    with pytest.raises(LambdaUnreachableError):
        api.register(("INVOKE",))


def test_host_may_be_a_name(runtime: FakeLambda) -> None:
    api = LambdaApi(runtime.runtime_api.replace("127.0.0.1", "localhost"), NAME)

    api.register(("INVOKE",))

    assert runtime.endpoints == [REGISTER]
    api.close()


def test_proxy_is_never_used(runtime: FakeLambda, api: LambdaApi, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")

    api.register(("INVOKE",))

    assert runtime.endpoints == [REGISTER]


def test_signal_that_arrives_right_before_the_wait_ends_it(runtime: FakeLambda, registered: LambdaApi) -> None:
    class SignalledError(Exception):
        pass

    def raise_it(*_: object) -> None:
        raise SignalledError

    def signal_without_interrupting() -> None:
        runtime.wait_for(NEXT)
        _thread.interrupt_main(signal.SIGUSR1)

    registered.wakeup, when_signalled = os.pipe2(os.O_NONBLOCK)
    usual, usual_descriptor = signal.signal(signal.SIGUSR1, raise_it), signal.set_wakeup_fd(when_signalled)
    thread = threading.Thread(target=signal_without_interrupting)
    try:
        thread.start()
        with pytest.raises(SignalledError):
            registered.next_event()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, usual)
        signal.set_wakeup_fd(usual_descriptor)
        os.close(when_signalled)
        os.close(registered.wakeup)
        registered.wakeup = -1
