"""Stores posts as they were received, for a main thread that cannot wait for the worker any longer.

Imports little: the forwarder's own imports may be what it would have to wait for.
"""

import os
from collections.abc import Mapping

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpoolFormat
from telemetry_forwarder.buffer.store import NOT_SPOOLED
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import POSTS, SIGNALS, Batch
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.receiver.connections import MAX_POST_BYTES
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body
from telemetry_forwarder.settings import Settings

_OWN_NAME = "telemetry-forwarder"


def new_spool(
    settings: Settings, environ: Mapping[str, str], *, ledger: Ledger, clock: Clock, log: Diagnostics
) -> Spool:
    """Return the spool of this process. Does not access the disk."""
    file_format = SpoolFormat(
        function=environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        version=environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        process=os.urandom(4),
    )
    # A folder of our own: other files in it would be set aside and removed.
    is_own = os.path.basename(os.path.normpath(settings.spool_dir)) == _OWN_NAME
    folder = settings.spool_dir if is_own else os.path.join(settings.spool_dir, _OWN_NAME)
    # A batch that is larger than a request has one item, which is not much larger than the post that it comes from.
    largest_bytes = dict.fromkeys(SIGNALS, settings.batch_bytes + 2 * MAX_POST_BYTES) | {POSTS: MAX_POST_BYTES}
    limit_bytes = settings.spool_bytes
    return Spool(
        folder, file_format, ledger=ledger, clock=clock, log=log, limit_bytes=limit_bytes, largest_bytes=largest_bytes
    )


def spool_posts(inbox: Inbox, spool: Spool, ledger: Ledger, *, deadline: Deadline, log: Diagnostics) -> None:
    """Spool the posts in *inbox* unconverted, count those that the disk does not take as dropped, log the totals."""
    posts = [Batch(POSTS, item.content, 1) for item in inbox.take(0.0) if isinstance(item, Body)]
    ledger.received(POSTS, len(posts))
    if left := spool.write(posts, deadline):
        ledger.dropped(POSTS, len(left), NOT_SPOOLED)
    ledger.posts_refused, ledger.posts_foreign = inbox.take_refusals(), inbox.foreign_posts
    log.info(ledger.summary())
