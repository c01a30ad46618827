"""Client of Lambda's Extensions API and of the Telemetry API's subscription. Decides nothing.

Imported before `register`, where every module is latency for the user: it speaks HTTP over the C module `_socket`
(importing `socket` costs more than starting a bare interpreter). This also bypasses any proxy. Every call may block
without limit, because the environment can be frozen during any of them.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
"""

import _socket

from telemetry_forwarder.errors import LambdaRefusedError, LambdaUnreachableError, MessageError
from telemetry_forwarder.http1 import Message, MessageReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EXTENSION = "/2020-01-01/extension"
# The version of the API; that of the schema is in the body.
_TELEMETRY = "/2022-07-01/telemetry"
_RECEIVE_BYTES = 65_536
_MAX_RESPONSE_BYTES = 1_048_576


def is_managed_instance(environ: "Mapping[str, str]") -> bool:
    """Return whether this is a Lambda managed instance: invocations run concurrently, and none is announced."""
    return environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "") == "lambda-managed-instances"


class LambdaApi:
    """A client with one connection, which it reopens after Lambda has closed it."""

    __slots__ = ("_connection", "_host", "_identity", "_name", "_reader", "registration", "wakeup")

    def __init__(self, runtime_api: str, name: str) -> None:
        """*runtime_api* is `host:port`; *name* is the base name of the file that Lambda started."""
        self._host = runtime_api
        self._name = name
        self._identity = ""
        self._connection: _socket.socket | None = None
        self._reader = MessageReader(_MAX_RESPONSE_BYTES)
        self.registration = b""
        """The JSON that `register` returned: functionName, functionVersion, handler, accountId."""
        self.wakeup = -1
        """A descriptor that becomes readable when a signal arrives."""

    def register(self, events: tuple[str, ...]) -> int:
        """Register for *events* and return the status, 200. Lambda starts the runtime only after this."""
        names = ",".join(f'"{event}"' for event in events)
        headers = f"Lambda-Extension-Name: {self._name}\r\nLambda-Extension-Accept-Feature: accountId\r\n"
        response = self._call(f"POST {_EXTENSION}/register", headers, f'{{"events":[{names}]}}'.encode())
        if response.status != 200:
            raise LambdaRefusedError("register", response.status, response.body)
        identifier = response.headers.get("lambda-extension-identifier", "")
        self._identity = f"Lambda-Extension-Identifier: {identifier}\r\n"
        self.registration = response.body
        return response.status

    def subscribe(self, subscription: bytes) -> int:
        """Subscribe to telemetry and return the status: 200 accepted, 202 not supported (a local emulator).

        Allowed only between `register` and the first `next_event`, and not again after it was accepted.
        """
        headers = f"{self._identity}Content-Type: application/json\r\n"
        return self._call(f"PUT {_TELEMETRY}", headers, subscription).status

    def next_event(self, when_sent: "Callable[[], None] | None" = None) -> bytes:
        """Report that we are done, and return the JSON of the next event. Raises if Lambda refuses us.

        *when_sent* is called when the request has been sent, so its duration delays nothing. It must not raise, and is
        called again if the request has to be sent again.
        """
        response = self._call(f"GET {_EXTENSION}/event/next", self._identity, when_sent=when_sent)
        if response.status != 200:
            raise LambdaRefusedError("next", response.status, response.body)
        return response.body

    def close(self) -> None:
        """Close the connection. A later call opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._reader = MessageReader(_MAX_RESPONSE_BYTES)

    def _call(
        self, target: str, headers: str, body: bytes = b"", when_sent: "Callable[[], None] | None" = None
    ) -> Message:
        head = f"{target} HTTP/1.1\r\nHost: {self._host}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        try:
            # The extension's name is a file name and may contain any bytes.
            request = head.encode("utf-8", "surrogateescape") + body
            response = self._send_with_retry(request, when_sent)
        except (OSError, ValueError, OverflowError, MemoryError, MessageError) as exc:
            self.close()
            reason = str(exc) or type(exc).__name__
            raise LambdaUnreachableError(f"{target} at {self._host}: {reason}") from exc
        if response.wants_close:
            self.close()
        return response

    def _send_with_retry(self, request: bytes, when_sent: "Callable[[], None] | None") -> Message:
        if self._connection is not None:
            try:
                return self._send(self._connection, request, when_sent)
            except ConnectionError:
                # The idle connection was closed, as after a thaw. Sending again is safe: if Lambda had accepted the
                # request, it would have responded on this connection.
                self.close()
        return self._send(self._connect(), request, when_sent)

    def _send(self, connection: _socket.socket, request: bytes, when_sent: "Callable[[], None] | None") -> Message:
        connection.sendall(request)
        if when_sent is not None:
            when_sent()
        while True:
            if self.wakeup >= 0:
                self._wait(connection)
            received = connection.recv(_RECEIVE_BYTES)
            if not received:
                raise ConnectionResetError("closed without a response")
            for message in self._reader.feed(received):
                # A 1xx response precedes the final one.
                if message.status >= 200:
                    return message

    def _wait(self, connection: _socket.socket) -> None:
        """Block until there is a response, or a signal whose handler then raises."""
        import select

        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.register(self.wakeup, select.POLLIN)
        poll.poll()

    def _connect(self) -> _socket.socket:
        host, _, port = self._host.rpartition(":")
        # Stored before it is connected, so that `close` closes it whatever fails.
        self._connection = connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        connection.connect((host, int(port)))
        connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return connection
