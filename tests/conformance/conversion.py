"""What the extension sends, without sending it."""

import itertools

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.otlp.resource import describe_function
from telemetry_forwarder.settings import Settings
from tests.support.paths import RECORDS

RECORDS_FILE = RECORDS / "one_of_everything.json"
NOW_NS = 1_791_500_000_000_000_000


def converted(lambda_post: bytes) -> list[tuple[str, bytes]]:
    """Return (path, body) of each request that the extension produces from one post."""
    environ = {"TELEMETRY_FORWARDER_PLATFORM_LOGS": "all", "AWS_LAMBDA_FUNCTION_NAME": "orders"}
    ids = itertools.count(1)
    converter = Converter(
        Settings(environ),
        describe_function(environ, {"functionName": "orders", "functionVersion": "7", "handler": "app.handler"}, []),
        Ledger(),
        version="1.0",
        temporality="delta",
        is_managed=False,
        new_id=lambda size_bytes: f"{next(ids):0{size_bytes * 2}x}",
        unix_ns=lambda: NOW_NS,
    )
    batches = [*converter.convert(lambda_post, NOW_NS).batches]
    converter.finish("spindown", NOW_NS)
    batches += converter.collect(NOW_NS)
    return [(f"/v1/{batch.signal}", batch.body) for batch in batches]
