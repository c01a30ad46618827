"""Asks Lambda's metadata endpoint in which availability zone the environment runs: once, in a thread of its own.

Nobody waits for the answer, and without one nothing changes. Never raises.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-metadata-endpoint.html
"""

import _socket
import threading
from collections.abc import Mapping
from contextlib import closing

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.errors import ForwarderError
from telemetry_forwarder.http1 import Message, MessageReader
from telemetry_forwarder.startup.threads import start_thread
from telemetry_forwarder.telemetry.json_values import read_json

_API, _TOKEN = "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN"
_PATH = "/2026-01-15/metadata/execution-environment"
_KEY = "AvailabilityZoneID"
# The endpoint is in the same environment. After a freeze the time is over, too.
_MAX_S = 1.0
_RECEIVE_BYTES = 4_096
_MAX_RESPONSE_BYTES = 65_536
_MAX_ID_LENGTH = 64


class AvailabilityZone:
    """The id of the zone. For the worker's thread."""

    def __init__(self, environ: Mapping[str, str], clock: Clock, log: Diagnostics) -> None:
        self._api, self._token = environ.get(_API, ""), environ.get(_TOKEN, "")
        self._clock = clock
        self._log = log
        # A snapshot is restored in any zone, so the question waits for the first invocation.
        self._may_ask = environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start"
        self._is_open = self._is_asked = False
        self._zone_id = ""
        if self._api and (self._token + self._api).isascii() and (self._token + self._api).isprintable():
            self._is_open = True

    def invoked(self) -> None:
        """Note that an invocation has begun, so a snapshot is restored."""
        self._may_ask = True

    def take(self) -> str:
        """Return the id, once, when it is known; empty before and after that. The first call asks for it."""
        if not self._is_open:
            return ""
        if self._zone_id:
            self._is_open = False
            return self._zone_id
        if self._may_ask and not self._is_asked:
            self._is_asked = True
            self._start()
        return ""

    def _start(self) -> None:
        try:
            start_thread(threading.Thread(target=self._run, name="zone", daemon=True))
        except ForwarderError as exc:
            self._fail(exc)

    def _run(self) -> None:
        try:
            self._zone_id = _zone_id(self._ask())
        except Exception as exc:  # noqa: BLE001  # without the zone only an attribute is missing
            self._fail(exc)

    def _ask(self) -> Message:
        host, _, port = self._api.rpartition(":")
        headers = f"Host: {self._api}\r\nAuthorization: Bearer {self._token}\r\nConnection: close\r\n\r\n"
        deadline = Deadline.after(_MAX_S, self._clock)
        reader = MessageReader(_MAX_RESPONSE_BYTES)
        with closing(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)) as connection:
            connection.settimeout(_MAX_S)
            connection.connect((host, int(port)))
            connection.sendall(f"GET {_PATH} HTTP/1.1\r\n{headers}".encode())
            while received := connection.recv(_RECEIVE_BYTES):
                for message in reader.feed(received):
                    return message
                if deadline.is_over():
                    raise TimeoutError(f"no response within {_MAX_S} s")
        raise ConnectionResetError("closed without a response")

    def _fail(self, exc: Exception) -> None:
        self._is_open = False
        self._log.debug(lambda: f"the availability zone is unknown: {type(exc).__name__}: {exc}")


def _zone_id(response: Message) -> str:
    if response.status != 200:
        raise ValueError(f"the metadata endpoint responded with {response.status}")
    answer = read_json(response.body)
    zone_id = answer.get(_KEY) if isinstance(answer, dict) else None
    if not isinstance(zone_id, str) or not 0 < len(zone_id) <= _MAX_ID_LENGTH or not zone_id.isprintable():
        raise ValueError(f"the metadata endpoint responded without {_KEY}")
    return zone_id
