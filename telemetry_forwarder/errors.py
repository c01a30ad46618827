"""The failures we raise: one class for each thing that a caller does differently."""


class ForwarderError(Exception):
    """The root. Its message names the culprit and never shows a secret."""


class LambdaUnreachableError(ForwarderError):
    """The Runtime API did not answer, or answered something that is not HTTP."""


class LambdaRefusedError(ForwarderError):
    """The Runtime API answered with a status that we cannot go on from."""

    def __init__(self, call: str, status: int, answer: bytes) -> None:
        super().__init__(f"{call} was answered {status}: {answer[:300].decode('utf-8', 'replace')}")
        self.status = status


class MessageError(ForwarderError):
    """Bytes that are not an HTTP/1.1 message, or one larger than we take."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
