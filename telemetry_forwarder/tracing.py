"""Reads X-Ray's tracing header, as Lambda passes it on. Pure; never raises."""

from functools import lru_cache
from typing import Any

from telemetry_forwarder.records import Tracing
from telemetry_forwarder.trace_ids import root_of, span_id


def read_tracing(header: Any, own_span_id: Any = "") -> Tracing:
    """The parts of an X-Ray tracing header. Their order is free, and any of them may be absent or wrong.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return _read(_text(header), _text(own_span_id))


# INVOKE, start, runtimeDone and report of one invocation say the same.
@lru_cache(maxsize=16)
def _read(header: str, own_span_id: str) -> Tracing:
    parts = _parts(header)
    return Tracing(
        trace_id=root_of(header),
        parent_id=span_id(parts.get("parent")),
        span_id=span_id(own_span_id),
        is_sampled={"1": True, "0": False}.get(parts.get("sampled", "")),
        lineage=parts.get("lineage", ""),
    )


def _parts(header: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in header.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
