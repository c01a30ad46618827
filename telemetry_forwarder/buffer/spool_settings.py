"""Builds the spool of this process from the settings."""

import os
from collections.abc import Mapping

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpoolFormat
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.batch import POSTS, SIGNALS
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.settings import Settings

_OWN_NAME = "telemetry-forwarder"


def new_spool(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    largest_post_bytes: int,
    ledger: Ledger,
    clock: Clock,
    log: Diagnostics,
) -> Spool:
    """Return the spool of this process. Does not access the disk."""
    file_format = SpoolFormat(
        function=environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        version=environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        process=os.urandom(4),
    )
    # A folder of our own: other files in it would be set aside and removed.
    is_own = os.path.basename(os.path.normpath(settings.spool_dir)) == _OWN_NAME
    # A batch that is larger than a request has one item, which is not much larger than the post that it comes from.
    largest_bytes = dict.fromkeys(SIGNALS, settings.batch_bytes + 2 * largest_post_bytes) | {POSTS: largest_post_bytes}
    return Spool(
        settings.spool_dir if is_own else os.path.join(settings.spool_dir, _OWN_NAME),
        file_format,
        ledger=ledger,
        clock=clock,
        log=log,
        limit_bytes=settings.spool_bytes,
        largest_bytes=largest_bytes,
    )
