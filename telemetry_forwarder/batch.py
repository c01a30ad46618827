"""What one export sends: an encoded request, and how many items are in it."""

from telemetry_forwarder.data import data

LOGS = "logs"
SPANS = "traces"
METRICS = "metrics"
SIGNALS = (LOGS, SPANS, METRICS)
# No signal: bodies of Lambda's posts that are not converted yet. They are kept on disk, and never sent.
POSTS = "posts"


@data
class Batch:
    """One signal's items, encoded as a serialized `Export…ServiceRequest`.

    Requests of one signal can be joined by concatenating their bytes: protobuf merges repeated fields.
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """

    signal: str
    """`logs`, `traces` or `metrics`, as OTLP's paths spell them; on disk `posts` too."""
    body: bytes
    items: int
    """Log records, spans, or data points: what the endpoint counts in a partial success."""
