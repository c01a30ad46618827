"""What one export sends: an encoded request, and how many items are in it."""

from typing import Final

from telemetry_forwarder.core.frozen import comparable

LOGS = "logs"
SPANS = "traces"
METRICS = "metrics"
SIGNALS = (LOGS, SPANS, METRICS)
# No signal: bodies of Lambda's posts that are not converted yet. They are kept on disk, and never sent.
POSTS = "posts"


@comparable
class Batch:
    """One signal's items, encoded as a serialized `Export…ServiceRequest`.

    Requests of one signal can be joined by concatenating their bytes: protobuf merges repeated fields.
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """

    __slots__ = ("signal", "body", "items")  # noqa: RUF023  # their order is their place

    def __init__(self, signal: str, body: bytes, items: int) -> None:
        self.signal: Final = signal
        """`logs`, `traces` or `metrics`, as OTLP's paths spell them; on disk `posts` too."""
        self.body: Final = body
        self.items: Final = items
        """Log records, spans, or data points: what the endpoint counts in a partial success."""
