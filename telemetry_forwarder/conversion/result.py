"""What a slice of a post was converted to. Pure data."""

from collections.abc import Sequence
from typing import NamedTuple

from telemetry_forwarder.core.batch import Batch


class ConversionResult(NamedTuple):
    """What a slice of a post was converted to."""

    next_at: int
    """Where the rest of the post begins."""
    batches: Sequence[Batch] = ()
    ended: Sequence[str] = ()
    """Request ids of the invocations whose platform.runtimeDone arrived."""
    reported: Sequence[str] = ()
    """Request ids of the invocations whose platform.report arrived."""
    observed_ns: int = 0
    """When the post arrived."""
