"""Client of Lambda's Extensions API and of the Telemetry API's subscription. Decides nothing.

Imported before `register`, where every module is latency for the user: it speaks HTTP over the C module
`_socket` (`socket` alone costs more than a bare interpreter's start). By that, too, no proxy is ever between us and
the Runtime API. Every call may wait without limit: the environment can be frozen inside any of them.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
"""

import _socket

from telemetry_forwarder.errors import LambdaRefusedError, LambdaUnreachableError, MessageError
from telemetry_forwarder.http1 import Message, MessageReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_EXTENSION = "/2020-01-01/extension"
# The version in the path names the API, not the schema: that one is in the body.
_TELEMETRY = "/2022-07-01/telemetry"
_RECEIVE_BYTES = 65_536
_MAX_ANSWER_BYTES = 1_048_576


class LambdaApi:
    """The conversation with Lambda, over one connection that is opened anew when Lambda has closed it."""

    __slots__ = ("_connection", "_host", "_id", "_name", "_reader", "registration")

    def __init__(self, runtime_api: str, name: str) -> None:
        """*runtime_api* is `host:port`; *name* is the basename of the file that Lambda started."""
        self._host = runtime_api
        self._name = name
        self._id = ""
        self._connection: _socket.socket | None = None
        self._reader = MessageReader(_MAX_ANSWER_BYTES)
        self.registration = b""
        """The JSON that `register` was answered: functionName, functionVersion, handler, accountId."""

    def register(self, events: tuple[str, ...]) -> None:
        """Make ourselves known. Until this is done Lambda does not even start the runtime."""
        wanted = ",".join(f'"{event}"' for event in events)
        headers = (("Lambda-Extension-Name", self._name), ("Lambda-Extension-Accept-Feature", "accountId"))
        answer = self._call("POST", f"{_EXTENSION}/register", headers, f'{{"events":[{wanted}]}}'.encode())
        if answer.status != 200:
            raise LambdaRefusedError("register", answer.status, answer.body)
        self._id = answer.headers.get("lambda-extension-identifier", "")
        self.registration = answer.body

    def subscribe(self, subscription: bytes) -> int:
        """Ask for telemetry; give the status: 200 it comes, 202 it never will (a local emulator).

        Only between `register` and the first `next_event`; never again after it was taken.
        """
        json = ("Content-Type", "application/json")
        return self._call("PUT", _TELEMETRY, (self._identity, json), subscription).status

    def next_event(self, when_sent: "Callable[[], None] | None" = None) -> bytes:
        """Say that we are done, and wait for the next event: its JSON. Raises if Lambda refuses us.

        *when_sent* is called when the request is on its way: what it does keeps nobody waiting. Called again if
        the request has to be sent again; must not raise.
        """
        answer = self._call("GET", f"{_EXTENSION}/event/next", (self._identity,), when_sent=when_sent)
        if answer.status != 200:
            raise LambdaRefusedError("next", answer.status, answer.body)
        return answer.body

    def close(self) -> None:
        """Hang up. A call after this opens a connection anew."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._reader = MessageReader(_MAX_ANSWER_BYTES)

    @property
    def _identity(self) -> tuple[str, str]:
        return ("Lambda-Extension-Identifier", self._id)

    def _call(
        self,
        method: str,
        path: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes = b"",
        when_sent: "Callable[[], None] | None" = None,
    ) -> Message:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            # The name is a file's, in whatever bytes it has.
            answer = self._exchange(head.encode("utf-8", "surrogateescape") + body, when_sent or _nothing)
        except (OSError, ValueError, OverflowError, MessageError) as exc:
            self.close()
            raise LambdaUnreachableError(f"{method} {path} at {self._host}: {exc}") from exc
        if answer.wants_close:
            self.close()
        return answer

    def _exchange(self, request: bytes, when_sent: "Callable[[], None]") -> Message:
        if self._connection is not None:
            try:
                return self._send_and_receive(self._connection, request, when_sent)
            except ConnectionError:
                # Closed while it lay idle, as after a thaw. Once more on a new one is no harm: had Lambda taken
                # the call, it would have answered on this one.
                self.close()
        return self._send_and_receive(self._connect(), request, when_sent)

    def _send_and_receive(
        self, connection: _socket.socket, request: bytes, when_sent: "Callable[[], None]"
    ) -> Message:
        connection.sendall(request)
        when_sent()
        while True:
            received = connection.recv(_RECEIVE_BYTES)
            if not received:
                raise ConnectionResetError("closed without an answer")
            for message in self._reader.feed(received):
                # 1xx only announces the answer.
                if message.status >= 200:
                    return message

    def _connect(self) -> _socket.socket:
        host, _, port = self._host.rpartition(":")
        # Kept before it is connected: whatever fails, `close` finds it.
        self._connection = connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        connection.connect((host, int(port)))
        connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return connection


def _nothing() -> None:
    pass
