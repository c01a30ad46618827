"""Lives of one environment that leave posts on disk for each other."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpoolFormat
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, Batch
from telemetry_forwarder.receiver.messages import Body
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.worker.backlog import Backlog
from telemetry_forwarder.worker.replay import Replay
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.otlp_messages import REQUESTS, log_records
from tests.support.posts import OBSERVED_NS, event, post

MB = 1_000_000
LONG = [f"line {number} of a long post" for number in range(2_000)]
LONG_POST = post(*[event("function", line) for line in LONG])


def spool_in(
    folder: Path,
    captured: CapturedLog,
    ledger: Ledger,
    clock: FakeClock,
    limit_bytes: int,
    *,
    left_free_bytes: int = 0,
) -> Spool:
    return Spool(
        str(folder),
        SpoolFormat(function="orders", version="7", process=b"\0\0\0\0"),
        ledger=ledger,
        clock=clock,
        diagnostics=captured.diagnostics(clock),
        limit_bytes=limit_bytes,
        left_free_bytes=left_free_bytes,
    )


class Life:
    """One process, with what it needs for a backlog or a past."""

    def __init__(
        self,
        folder: Path,
        captured: CapturedLog,
        *,
        spool_bytes: int = MB,
        left_free_bytes: int = 0,
        kind: type[Converter] = Converter,
        clock: FakeClock | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.clock = clock or FakeClock()
        self.ledger = Ledger()
        self.conversion = kind(
            Settings({PREFIX + name: value for name, value in settings.items()}),
            Resource({}),
            self.ledger,
            version="1",
            temporality="delta",
            is_managed=False,
            new_id=lambda size: "ab" * size,
        )
        self.spool = spool_in(
            folder, captured, self.ledger, self.clock, spool_bytes, left_free_bytes=left_free_bytes
        )
        self.backlog = Backlog(self.conversion, self.spool, self.ledger, self.clock, cpu_share=0.25)
        self.replay = Replay(self.conversion, self.spool, self.ledger, self.clock)
        self.backlog.restore()
        self.replay.restore()

    def keeps(self, *contents: bytes) -> None:
        for content in contents:
            self.backlog.keep(Body(content, OBSERVED_NS), Deadline.after(1.0, self.clock))

    @property
    def posts(self) -> Tally:
        assert self.ledger.snapshot().is_exact
        return self.ledger.snapshot().posts

    @property
    def written(self) -> list[str]:
        """The bodies of all batches that wait on disk; they are taken from there."""
        batches = []
        while entry := self.spool.take(LOGS):
            batches.append(entry.batch)
            self.spool.remove(entry)
        return bodies(batches)


def bodies(batches: list[Batch]) -> list[str]:
    requests = [REQUESTS[f"/v1/{batch.signal}"].FromString(batch.body) for batch in batches]
    return [log.body.string_value for request in requests for _, _, log in log_records(request)]
