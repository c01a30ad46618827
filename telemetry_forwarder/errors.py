"""The errors that this package raises: one class for each case that a caller treats differently."""


class ForwarderError(Exception):
    """The root of our errors. Its message names the cause and never shows a secret."""


class TerminatedError(BaseException):
    """The signal in the message ends the process. Not an `Exception`: no step of forwarding may take it for its own."""


class ThreadStartError(ForwarderError):
    """A thread cannot be started now: Lambda limits their number, or memory is short. Later it may succeed."""


class LambdaUnreachableError(ForwarderError):
    """The Runtime API did not respond, or not with HTTP."""


class LambdaRefusedError(ForwarderError):
    """The Runtime API responded with a status that prevents us from continuing."""

    def __init__(self, call: str, status: int, body: bytes) -> None:
        text = "".join(char if char.isprintable() else " " for char in body[:300].decode("utf-8", "replace"))
        super().__init__(f"Lambda responded with {status} to {call}: {text}")
        self.status = status


class MessageError(ForwarderError):
    """Bytes that are not an HTTP/1.1 message, or a message larger than the limit. *status* is the one to respond."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
