from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.ownership import OwnershipLost
from telemetry_forwarder.receiver.messages import Body
from telemetry_forwarder.worker.shared_converter import SharedConverter
from tests.support.captured_log import CapturedLog
from tests.support.posts import OBSERVED_NS, event, post
from tests.support.spooling import Process
from tests.support.threads import in_threads, join

POST = post(event("function", "a line"), event("extension", "another"))


class Failing(Converter):
    def convert(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        super().convert(body, observed_ns, at)
        raise ValueError("broken on purpose")


def shared(process: Process) -> tuple[SharedConverter, Ledger]:
    ledger = Ledger()
    return SharedConverter(process.converter, process.ownership, counts=process.counts, ledger=ledger), ledger


@pytest.mark.parametrize("is_of_earlier_process", [False, True])
def test_counts_of_a_conversion_enter_the_ledger_after_it(
    tmp_path: Path, captured: CapturedLog, *, is_of_earlier_process: bool
) -> None:
    conversion, ledger = shared(Process(tmp_path, captured))
    body = Body(POST, OBSERVED_NS)

    result = conversion.convert(body, is_of_earlier_process=is_of_earlier_process)

    assert (result.next_at, body.at) == (len(POST), 0)
    assert (ledger.records_received, conversion.is_in_use) == (2, False)


def test_defect_ends_the_use_and_its_counts_are_kept(tmp_path: Path, captured: CapturedLog) -> None:
    conversion, ledger = shared(Process(tmp_path, captured, kind=Failing))

    with pytest.raises(ValueError, match="broken on purpose"):
        conversion.convert(Body(POST, OBSERVED_NS))

    assert (ledger.records_received, conversion.is_in_use) == (2, False)


def test_conversion_that_is_overtaken_counts_nothing_and_stays_in_use(tmp_path: Path, captured: CapturedLog) -> None:
    process = Process(tmp_path, captured)
    conversion, ledger = shared(process)
    join(in_threads(1, lambda: process.ownership.take(0.0)))

    with pytest.raises(OwnershipLost):
        conversion.convert(Body(POST, OBSERVED_NS))

    assert (ledger.records_received, conversion.is_in_use) == (0, True)


def test_what_shutdown_ends_is_collected(tmp_path: Path, captured: CapturedLog) -> None:
    process = Process(tmp_path, captured)
    conversion, _ = shared(process)
    conversion.convert(Body(post(event("platform.start", {"requestId": "id", "version": "7"})), OBSERVED_NS))
    conversion.collect(OBSERVED_NS)

    conversion.finish("timeout", OBSERVED_NS)

    assert "traces" in {batch.signal for batch in conversion.collect(OBSERVED_NS)}
