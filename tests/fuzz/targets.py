"""What reads foreign bytes: each target takes any bytes, and fails if a promise about them is broken.

A target is deterministic and takes milliseconds, so that an input which it fails for can be kept in the corpus.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

from google.protobuf.message import DecodeError
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool_format import SpoolFormat, posts_of
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, METRICS, POSTS, SPANS, Batch
from telemetry_forwarder.errors import MessageError
from telemetry_forwarder.export.answers import NotOtlp, read_success
from telemetry_forwarder.export.responses import describe, retry_after_s
from telemetry_forwarder.export.splitting import halves, joined
from telemetry_forwarder.http1 import MAX_HEAD_BYTES
from telemetry_forwarder.log_formats.parser import read_line, reports_out_of_memory
from telemetry_forwarder.receiver.connections import HttpConnection, SubscribedPath, TcpConnection
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.decoder import Decoder
from telemetry_forwarder.transport.grpc.http2 import Http2Connection
from telemetry_forwarder.transport.grpc.status import response_of_call
from telemetry_forwarder.transport.outcome import MAX_BODY_BYTES, RequestError, Response, response_of
from telemetry_forwarder.transport.response_reader import ResponseReader
from telemetry_forwarder.transport.sockets import Stream
from tests.support.fake_clock import FakeClock
from tests.support.otlp_messages import REQUESTS, count
from tests.support.posts import OBSERVED_NS, event, post
from tests.support.requests import new_attempt

_SIGNALS = (LOGS, SPANS, METRICS)
_MAX_BODY = 64
# Less than a socket holds, because nobody reads concurrently.
_MAX_SENT = 65_536
_FORMAT = SpoolFormat(function="orders", version="7", process=bytes(4))


def _parts(data: bytes) -> list[bytes]:
    """Divide all but the first byte into parts of a size that the first byte selects."""
    size = data[0] + 1 if data else 1
    return [data[at : at + size] for at in range(1, len(data), size)]


def _bodies(inbox: Inbox) -> list[bytes]:
    inbox.put_body(Body(b"last", 0))
    return [item.content for item in inbox.take() if isinstance(item, Body)][:-1]


def _over_http(parts: list[bytes], path: str) -> tuple[list[bytes], list[bytes]]:
    """Return the bodies that a connection put into the inbox, and the status lines of its responses."""
    ours, theirs = socket.socketpair()
    inbox = Inbox(1_000_000)
    with closing(ours), closing(theirs):
        connection = HttpConnection(ours, inbox, FakeClock(), SubscribedPath(path))
        is_open = True
        with suppress(OSError):
            for part in parts:
                is_open = is_open and connection.receive(part)
                assert connection.held_bytes <= MAX_HEAD_BYTES + len(part) + sum(map(len, parts))
            if is_open:
                connection.receive(b"")
        ours.shutdown(socket.SHUT_WR)
        received = b""
        while part := theirs.recv(65_536):
            received += part
    responses = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/")]
    return _bodies(inbox), [line for line in responses if b" 100 " not in line]


def listener_http(data: bytes) -> None:
    """A request costs at most itself, however its bytes are divided, and each complete one gets one response."""
    parts = _parts(data)
    bodies, responses = _over_http(parts, "/secret")
    assert len(bodies) == sum(b" 200 " in line for line in responses)
    assert _over_http([data[1:]], "/secret") == (bodies, responses)


def listener_tcp(data: bytes) -> None:
    """Every byte is put into the inbox, and no line is divided."""
    ours, theirs = socket.socketpair()
    inbox = Inbox(1_000_000)
    with closing(ours), closing(theirs):
        connection = TcpConnection(ours, inbox, FakeClock(), SubscribedPath(""))
        for part in _parts(data):
            assert connection.receive(part)
        assert not connection.receive(b"")
        assert connection.held_bytes == 0
    bodies = _bodies(inbox)
    assert b"".join(bodies) == data[1:]
    assert all(body.endswith(b"\n") for body in bodies[:-1])


def _read_response(parts: list[bytes]) -> tuple[str, bytes] | str:
    reader = ResponseReader(_MAX_BODY)
    try:
        for part in parts:
            if (message := reader.feed(part)) is not None:
                break
        else:
            message = reader.received_part()
    except MessageError as exc:
        message = reader.received_part()
        if message is None:
            return f"{exc.status}"
    if message is None:
        return "nothing"
    assert len(message.body) <= _MAX_BODY
    response = response_of(message.status, message.headers, message.body)
    assert 100 <= response.status <= 999
    _use(response)
    return message.start_line, message.body


def _use(response: Response) -> None:
    batch = Batch(LOGS, b"", 3)
    assert len(describe(response)) < 2_000
    success = read_success(batch, response)
    assert isinstance(success, NotOtlp) or 0 <= success.rejected <= batch.items
    assert 0 <= (retry_after_s(response, OBSERVED_NS) or 0.0) <= 3_600


def responses(data: bytes) -> None:
    """A response is read, or a `ForwarderError`, however its bytes are divided; nothing read from it raises."""
    assert _read_response(_parts(data)) == _read_response([data[1:]])


def calls(data: bytes) -> None:
    """What a server of gRPC sends is a response or a `ForwarderError`, and is used as one of HTTP."""
    ours, theirs = socket.socketpair()
    with closing(theirs), closing(Http2Connection(Stream(ours))) as connection:
        theirs.sendall(data[:_MAX_SENT])
        theirs.shutdown(socket.SHUT_WR)
        with suppress(RequestError):
            call = connection.request([(b":method", b"POST")], b"x", new_attempt())
            assert len(call.body) <= MAX_BODY_BYTES
            response = response_of_call(call.headers, bytes(call.body), call.trailers, has_ended=call.is_complete)
            assert len(response.body) <= MAX_BODY_BYTES
            _use(response)


def _converter() -> tuple[Converter, Ledger]:
    ledger = Ledger()
    converter = Converter(
        Settings({"TELEMETRY_FORWARDER_PLATFORM_LOGS": "all"}),
        Resource({}),
        ledger,
        version="1",
        temporality="delta",
        is_managed=False,
        new_id=lambda size: "ab" * size,
        unix_ns=lambda: OBSERVED_NS,
    )
    return converter, ledger


def _check(batches: list[Batch]) -> int:
    """Decode *batches* as a receiver does, and return the number of log records."""
    for batch in batches:
        assert count(REQUESTS[f"/v1/{batch.signal}"].FromString(batch.body)) == batch.items
    return sum(batch.items for batch in batches if batch.signal == LOGS)


def decoder(data: bytes) -> None:
    """Each post becomes a bounded number of records, each record one log record, and all of it is valid OTLP."""
    posts = data.split(b"\0")
    decoded = Decoder()
    records = [record for body in posts for record in decoded.decode(body, OBSERVED_NS)] + decoded.release()
    assert len(records) <= sum(1_000 + len(body) // 64 + len(body) // 40 + 1 for body in posts)
    converter, ledger = _converter()
    logs = sum(_check(list(converter.convert(body, OBSERVED_NS).batches)) for body in posts)
    converter.finish("timeout", OBSERVED_NS)
    logs += _check(converter.collect(OBSERVED_NS))
    assert ledger.records_received == len(records)
    assert logs <= len(records)


def log_formats(data: bytes) -> None:
    """Any line is parsed, and exported as one log record."""
    for text in (data.decode("utf-8", "surrogateescape"), data.decode("latin-1")):
        reports_out_of_memory(read_line(text, keep_raw=True))
    converter, _ = _converter()
    line = data.decode("utf-8", "replace")
    assert _check(list(converter.convert(post(event("function", line)), OBSERVED_NS).batches)) == 1


def spool(data: bytes) -> None:
    """A file is read as it was written, or not at all."""
    name, _, contents = data.partition(b"\n")
    for text in (name.decode("latin-1"), _FORMAT.new_file(1, Batch(POSTS, contents, 1), len(contents)).name):
        file = _FORMAT.parse_name(text)
        batch = file and _FORMAT.decode(file, contents)
        if batch:
            assert _FORMAT.head(batch) + batch.body == contents
    for items in range(4):
        posts = posts_of(Batch(POSTS, contents, items))
        assert posts == [contents] or (len(posts) == items and sum(map(len, posts)) < len(contents))


def _all_items(batch: Batch) -> Iterator[Batch]:
    divided = halves(batch)
    if divided is None:
        yield batch
        return
    assert sum(half.items for half in divided) == batch.items
    for half in divided:
        yield from _all_items(half)


def otlp(data: bytes) -> None:
    """A request of any bytes is divided down to single items, and none is lost."""
    signal = _SIGNALS[data[0] % len(_SIGNALS)] if data else LOGS
    batch = Batch(signal, data[1:], 7)
    try:
        items = count(REQUESTS[f"/v1/{signal}"].FromString(batch.body))
    except DecodeError:
        assert halves(batch) is None
        return
    parts = list(_all_items(batch))
    assert sum(count(REQUESTS[f"/v1/{signal}"].FromString(part.body)) for part in parts) == items
    assert joined(parts).items == batch.items


TARGETS: dict[str, Callable[[bytes], None]] = {
    "listener_http": listener_http,
    "listener_tcp": listener_tcp,
    "responses": responses,
    "calls": calls,
    "decoder": decoder,
    "log_formats": log_formats,
    "spool": spool,
    "otlp": otlp,
}
