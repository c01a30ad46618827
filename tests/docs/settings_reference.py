"""Describes every setting: names, defaults and valid values from the code, one text for each name from here.

Not part of the product, whose start-up would have to load it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from telemetry_forwarder.endpoints.options import OPTIONS
from telemetry_forwarder.settings import PREFIX, SETTINGS


class Row(NamedTuple):
    """One setting, as the documentation lists it. *values* is empty if the description covers them."""

    name: str
    default: str
    values: str
    description: str


DESCRIPTIONS = {
    "ENDPOINT": "Base URL; `/v1/<signal>` is appended. With a signal in its name: the complete URL, used as it is."
    " Without a scheme: `https://`, for loopback and private names `http://`, and a warning. A `/`, `?`, `#` or `@` in"
    " its credentials is written `%2F`, `%3F`, `%23`, `%40`.",
    "HEADERS": "`key=value,key2=value2`, values URL-encoded. Never logged, even when the endpoint quotes them.",
    "TIMEOUT": "Milliseconds for one batch with all its attempts. A value below 100 is read as seconds, with a warning,"
    " because Python's SDK reads the same variable in seconds.",
    "COMPRESSION": "Compression of a request.",
    "PROTOCOL": "`grpc` needs grpcio (the gRPC flavour of the layer); without it one warning, and HTTP on the same host"
    " with port 4318 for 4317. `http/json`: a warning, and `http/protobuf`.",
    "INSECURE": "gRPC only: no TLS for an endpoint written without a scheme.",
    "CERTIFICATE": "PEM file with the certificate authorities to trust. By default `SSL_CERT_FILE`, otherwise the"
    " system's, otherwise certifi's. If it cannot be used: a warning, and the system's. Verification is always on.",
    "CLIENT_CERTIFICATE": "PEM file with the client's certificate for mutual TLS.",
    "CLIENT_KEY": "PEM file with the client's key for mutual TLS.",
    "TYPES": "Telemetry to subscribe to. Without `platform`, nothing is measured and nothing reports the end of an"
    " invocation: spans contain only what INVOKE reports, and `next` is never held for an end.",
    "SIGNALS": "Signals to export; `traces` is another name for `spans`.",
    "PLATFORM_LOGS": "Platform events that also become log records: `all`, `none`, or names like `start,report`, with"
    " or without `platform.`. By default those that spans and metrics do not represent; all if one of them is off.",
    "RAW_LINES": "Keep the whole line as the body, with its prefix. Severity, time and request id are read as well.",
    "TRACE_PARENT": "How a span refers to X-Ray's `Parent`: by a span link, as its parent, or not at all. With"
    " `parent`, and no X-Ray data in your back end, every trace lacks its root.",
    "SAMPLING": "`xray` omits the spans of invocations that X-Ray did not sample.",
    "FLUSH": "When telemetry is sent, see [delivery](delivery.md).",
    "FLUSH_BUDGET_MS": "Milliseconds that a slow endpoint may delay an invocation.",
    "WARM_UP": "When the rest of the program is imported: `init`, before the first `next`; `background`, concurrently"
    " with the first invocation; `auto`: `init` below 1769 MB (one vCPU), with provisioned concurrency and with"
    " SnapStart, otherwise `background`.",
    "LISTENER": "Protocol that Lambda posts with. `tcp` has less overhead, but a full inbox cannot refuse a post, and"
    " duplicates are not recognised.",
    "PORT": "Port that Lambda posts to, other than its own 9001; 0 is any free port.",
    "BUFFER_MAX_ITEMS": "Lambda posts when it has buffered this many records.",
    "BUFFER_MAX_BYTES": "Lambda posts when it has buffered this many bytes.",
    "BUFFER_TIMEOUT_MS": "Lambda posts when it has buffered for this many milliseconds.",
    "INBOX_BYTES": "Size of the queue of received posts. When it is full, Lambda is asked to send again.",
    "OUTBOX_BYTES": "Encoded batches in memory. When it is full, the oldest go to disk, or are dropped and counted if"
    " the disk is full, too. The same applies to a record that is larger than this.",
    "BATCH_BYTES": "The largest request, before compression; at most half of the outbox.",
    "BATCH_ITEMS": "The most records, spans or data points in one request.",
    "SPOOL_BYTES": "Undelivered batches on disk; 0 switches the spool off.",
    "SPOOL_DIR": "Absolute path of the spool; `telemetry-forwarder` is appended to a path that does not end with it."
    " Lambda keeps `/tmp` across a reset of the environment. The last 16 MiB of the disk are left to the function.",
    "LOG_LEVEL": "Level of the extension's own lines, which begin with `[telemetry-forwarder]` and are never exported.",
}


def describe() -> Iterator[Row]:
    """Yield a row for each setting; those of an endpoint, which also exist for each signal, first."""
    for setting in (*OPTIONS, *SETTINGS):
        values = " to ".join(map(str, setting.limits)) if any(setting.limits) else ", ".join(setting.choices)
        yield Row(PREFIX + setting.name, setting.default, values, DESCRIPTIONS[setting.name])
