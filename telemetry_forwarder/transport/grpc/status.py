"""Translates the end of a call into the response of HTTP that means the same. Pure.

https://grpc.github.io/grpc/core/md_doc_statuscodes.html
"""

import re
import zlib
from binascii import a2b_base64
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from telemetry_forwarder.transport.outcome import MAX_BODY_BYTES, FailureKind, RequestError, Response, response_of

_GRPC_TYPE = "application/grpc"
_PROTOBUF = "application/x-protobuf"
_GZIP_FORMAT = 31
_PREFIX_BYTES = 5
# Of the tenth byte, the last one of a number. Numbers without an end would take quadratic time.
_MAX_SHIFT = 63
_RETRY_INFO = b"/google.rpc.RetryInfo"
_OK, _RESOURCE_EXHAUSTED, _OUT_OF_RANGE = "0", "8", "11"
# All others are 500, which is not retryable. https://opentelemetry.io/docs/specs/otlp/#failures-1
_STATUSES = {
    **dict.fromkeys(("1", "4", "10", "11", "14", "15"), 503),
    "3": 400,
    "5": 404,
    "7": 403,
    "12": 404,
    "16": 401,
}
# How servers in Go, C, JavaScript, Rust, Java and .NET refuse a request that is too large.
_TOO_LARGE = re.compile(rb"larger than max|length too large|exceeds (the )?max", re.IGNORECASE)


def response_of_call(
    headers: Mapping[str, str], body: bytes, trailers: Mapping[str, str], *, has_ended: bool = True
) -> Response:
    """Return the response of HTTP that means the same. Raises `RequestError` if the call has no status.

    *has_ended*: whether the response has, or it broke off.
    """
    # Without a message, the headers are the trailers.
    end = trailers if "grpc-status" in trailers else headers
    code, http_status = end.get("grpc-status", ""), headers.get(":status", "")
    is_call = headers.get("content-type", "").startswith(_GRPC_TYPE) and http_status == "200"
    if code == _OK or (is_call and not code and body):
        # A server that refuses a request responds without a message: its status need not be awaited.
        message = _message(body, headers.get("grpc-encoding", ""))
        is_whole = has_ended and len(body) < MAX_BODY_BYTES
        return response_of(200, {"content-type": _PROTOBUF}, message, has_ended=is_whole)
    if code.isascii() and code.isdigit():
        return _refusal(code, unquote_to_bytes(end.get("grpc-message", "")), end.get("grpc-status-details-bin", ""))
    if is_call or not re.fullmatch("[2-5][0-9][0-9]", http_status):
        raise RequestError(FailureKind.BROKEN, "the response has no status")
    # It is from a proxy, or from a server of something else.
    kept = response_of(int(http_status), headers, body, has_ended=has_ended)
    return Response(kept.status, kept.headers, kept.body, kept.is_whole, is_foreign=True)


def _refusal(code: str, text: bytes, details: str) -> Response:
    status = _STATUSES.get(code, 500)
    delay_s = _retry_delay_s(details)
    if code in (_RESOURCE_EXHAUSTED, _OUT_OF_RANGE) and _TOO_LARGE.search(text):
        status = 413
    elif code == _RESOURCE_EXHAUSTED and delay_s is not None:
        # Without a delay it must not be sent again.
        status = 429
    headers = {"content-type": "text/plain"} | ({} if delay_s is None else {"retry-after": str(delay_s)})
    return Response(status, headers, text[:MAX_BODY_BYTES])


def _message(body: bytes, encoding: str) -> bytes:
    """Return the message in *body*; if it cannot be decompressed, as it is. What is no message is returned whole."""
    if body[:1] > b"\x01":
        return body
    message = body[_PREFIX_BYTES:]
    if body[:1] == b"\x01" and encoding == "gzip":
        with suppress(zlib.error):
            return zlib.decompressobj(_GZIP_FORMAT).decompress(message, MAX_BODY_BYTES)
    return message


def _retry_delay_s(details: str) -> int | None:
    """Return the delay in the `google.rpc.RetryInfo` of a `google.rpc.Status`, rounded up; None if there is none.

    https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
    """
    with suppress(ValueError, IndexError):
        for detail in _fields(a2b_base64(details + "=="), 3):
            if any(name.endswith(_RETRY_INFO) for name in _fields(detail, 1)):
                durations = [duration for info in _fields(detail, 2) for duration in _fields(info, 1)]
                return sum(map(_seconds, durations))
    return None


def _seconds(duration: bytes) -> int:
    seconds, nanoseconds = (max([0, *_numbers(duration, number)]) for number in (1, 2))
    # A negative number is one of 64 bits.
    return 0 if (seconds | nanoseconds) >> 63 else seconds + bool(nanoseconds)


def _fields(message: bytes, number: int) -> Iterator[bytes]:
    return (value for found, value in _scanned(message) if found == number and isinstance(value, bytes))


def _numbers(message: bytes, number: int) -> Iterator[int]:
    return (value for found, value in _scanned(message) if found == number and isinstance(value, int))


def _scanned(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield number and value of each field of a protobuf message. Raises `ValueError` or `IndexError`.

    The classes for it are not in protobuf itself. https://protobuf.dev/programming-guides/encoding/
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        value, position = _varint(message, position)
        match key & 7:
            case 0:
                yield key >> 3, value
            case 2:
                yield key >> 3, message[position : position + value]
                position += value
            case _:
                raise ValueError("not in these messages")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift > _MAX_SHIFT:
            raise ValueError("longer than any number")
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
