"""What one export sends: an encoded request, its signal and its number of items."""

from typing import NamedTuple

LOGS = "logs"
SPANS = "traces"
METRICS = "metrics"
SIGNALS = (LOGS, SPANS, METRICS)
SIGNAL_BY_NAME = {"logs": LOGS, "spans": SPANS, "metrics": METRICS}
"""By the names that TELEMETRY_FORWARDER_SIGNALS uses."""
# Not a signal: bodies of Lambda's posts that are not converted yet. They are spooled and never sent.
POSTS = "posts"


class Batch(NamedTuple):
    """One signal's items, encoded as a serialized `Export…ServiceRequest`.

    Requests of one signal can be joined by concatenating their bytes: protobuf merges repeated fields.
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """

    signal: str
    """`logs`, `traces` or `metrics`, as in OTLP's paths; `posts` for unconverted posts in the spool."""
    body: bytes
    items: int
    """The number of log records, spans or data points, as the endpoint counts them in a partial success."""
