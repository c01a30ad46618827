"""Processes of one environment that leave spooled posts and batches for each other."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.buffer.outbox import Outbox
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpoolFormat, posts_of
from telemetry_forwarder.buffer.store import Store
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import LOGS, POSTS, Batch
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts
from telemetry_forwarder.receiver.messages import Body, ShutdownEvent
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.worker.availability_zone import AvailabilityZone
from telemetry_forwarder.worker.intake import Intake
from telemetry_forwarder.worker.shared_converter import SharedConverter
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.otlp_messages import REQUESTS, log_records
from tests.support.posts import OBSERVED_NS, event, post

MB = 1_000_000
LONG = [f"line {number} of a long post" for number in range(2_000)]
LONG_POST = post(*[event("function", line) for line in LONG])


def outbox_of(
    ledger: Ledger, *, limit_bytes: int = 16 * MB, request_bytes: int = 4 * MB, request_items: int = 10_000
) -> Outbox:
    return Outbox(ledger, limit_bytes=limit_bytes, request_bytes=request_bytes, request_items=request_items)


def spool_in(
    folder: Path, captured: CapturedLog, ledger: Ledger, clock: FakeClock, limit_bytes: int, *, left_free_bytes: int = 0
) -> Spool:
    return Spool(
        str(folder),
        SpoolFormat(function="orders", version="7", process=os.urandom(4)),
        ledger=ledger,
        clock=clock,
        log=captured.diagnostics(clock),
        limit_bytes=limit_bytes,
        left_free_bytes=left_free_bytes,
    )


class Process:
    """What one process needs to convert posts, and to replay those that an earlier one spooled in *folder*."""

    def __init__(
        self,
        folder: Path,
        captured: CapturedLog,
        *,
        spool_bytes: int = MB,
        left_free_bytes: int = 0,
        kind: type[Converter] = Converter,
        cpu_share: float = 0.25,
        clock: FakeClock | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.clock = clock or FakeClock()
        self.ownership = Ownership()
        self.ledger = Ledger()
        self.counts = Ledger()
        read = Settings({PREFIX + name: value for name, value in settings.items()})
        self.converter = kind(
            read,
            Resource({}),
            self.counts,
            version="1",
            temporality="delta",
            is_managed=False,
            new_id=lambda size: "ab" * size,
            unix_ns=self.clock.unix_ns,
        )
        self.outbox = outbox_of(self.ledger, request_items=read.batch_items)
        self.spool = spool_in(folder, captured, self.ledger, self.clock, spool_bytes, left_free_bytes=left_free_bytes)
        self.store = Store(self.outbox, self.spool, self.ledger, self.clock)
        self.intake = Intake(
            SharedConverter(self.converter, self.ownership, counts=self.counts, ledger=self.ledger),
            self.store,
            self.spool,
            duplicates=DuplicatePosts(),
            ledger=self.ledger,
            clock=self.clock,
            log=captured.diagnostics(self.clock),
            cpu_share=cpu_share,
            zone=AvailabilityZone(environ, self.clock, captured.diagnostics(self.clock)),
        )

    def shut_down(self, seconds: float, reason: str = "timeout") -> None:
        self.intake.shut_down(ShutdownEvent(reason, Deadline.after(seconds, self.clock)))

    def convert(self, content: bytes, observed_ns: int = OBSERVED_NS) -> ConversionResult:
        """Convert a slice of a post, the only one in the backlog."""
        self.intake.postpone([Body(content, observed_ns)])
        (result,) = self.intake.convert_next(1, may_replay=False)
        return result

    def spool_raw(self, *contents: bytes) -> None:
        """Leave posts to the next process, each in a file of its own."""
        for content in contents:
            self.intake.postpone([Body(content, OBSERVED_NS)])
            self.intake.spool_backlog(Deadline.after(1.0, self.clock), between=lambda: None)

    @property
    def posts(self) -> Tally:
        """The account of posts, after a check that all accounts balance."""
        assert self.ledger.snapshot().is_exact
        return self.ledger.snapshot().posts

    @property
    def in_memory(self) -> list[str]:
        """The log lines in the outbox; they are taken from there."""
        batches = []
        while batch := self.outbox.take(LOGS):
            batches.append(batch)
        return bodies(batches)

    @property
    def on_disk(self) -> list[str]:
        """The log lines of all spooled batches; they are taken from there."""
        batches = []
        while entry := self.spool.take(LOGS):
            batches.append(entry.batch)
            self.spool.remove(entry)
        return bodies(batches)


def posts_on_disk(folder: Path) -> list[bytes]:
    """Return the contents of the posts in the files below *folder*, the oldest first."""
    paths = sorted(path for path in folder.rglob("*.batch") if f"-{POSTS}-" in path.name)
    bodies = [path.read_bytes().partition(b"\n")[2] for path in paths]
    batches = [Batch(POSTS, body, int(path.name.split("-")[4])) for path, body in zip(paths, bodies, strict=True)]
    return [content for batch in batches for content in posts_of(batch)]


def bodies(batches: list[Batch]) -> list[str]:
    requests = [REQUESTS[f"/v1/{batch.signal}"].FromString(batch.body) for batch in batches]
    return [log.body.string_value for request in requests for _, _, log in log_records(request)]
