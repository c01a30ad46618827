from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool_settings import new_spool
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import LOGS, POSTS, Batch
from telemetry_forwarder.settings import PREFIX, Settings
from tests.support.captured_log import CapturedLog

LARGEST_POST = 1_000


class Bench:
    """The spool of one process."""

    def __init__(self, folder: Path, captured: CapturedLog, **variables: str) -> None:
        settings = Settings({PREFIX + "SPOOL_DIR": str(folder), PREFIX + "BATCH_BYTES": "65536"})
        self.clock, self.ledger = Clock(), Ledger()
        log = captured.diagnostics(self.clock)
        self.spool = new_spool(
            settings, variables, largest_post_bytes=LARGEST_POST, ledger=self.ledger, clock=self.clock, log=log
        )

    def write(self, signal: str, size: int) -> None:
        self.ledger.received(signal, 1)
        assert self.spool.write([Batch(signal, b"x" * size, 1)], Deadline.after(5.0, self.clock)) == []


@pytest.mark.parametrize("folder", ["data", "data/telemetry-forwarder", "data/telemetry-forwarder/"])
def test_folder_is_one_of_its_own(tmp_path: Path, captured: CapturedLog, folder: str) -> None:
    Bench(tmp_path / folder, captured).write(LOGS, 1)

    assert len(list((tmp_path / "data" / "telemetry-forwarder").glob("*.batch"))) == 1


def test_building_it_does_not_access_the_disk(tmp_path: Path, captured: CapturedLog) -> None:
    Bench(tmp_path / "data", captured)

    assert list(tmp_path.iterdir()) == []


def test_files_of_another_function_or_version_are_not_restored(tmp_path: Path, captured: CapturedLog) -> None:
    Bench(tmp_path, captured, AWS_LAMBDA_FUNCTION_NAME="orders", AWS_LAMBDA_FUNCTION_VERSION="1").write(LOGS, 1)

    found = []
    for version in ("2", "1"):
        other = Bench(tmp_path, captured, AWS_LAMBDA_FUNCTION_NAME="orders", AWS_LAMBDA_FUNCTION_VERSION=version)
        other.spool.restore()
        found.append(other.spool.waiting)

    # The other version sets the file aside.
    assert found == [0, 0]


@pytest.mark.parametrize(
    ("signal", "size", "is_read"),
    [
        (POSTS, LARGEST_POST, True),
        (POSTS, LARGEST_POST + 2_000, False),
        (LOGS, 65_536 + 2 * LARGEST_POST, True),
        (LOGS, 65_536 + 2 * LARGEST_POST + 2_000, False),
    ],
)
def test_file_larger_than_any_that_is_written_is_not_read(
    tmp_path: Path, captured: CapturedLog, signal: str, size: int, *, is_read: bool
) -> None:
    Bench(tmp_path, captured).write(signal, size)
    other = Bench(tmp_path, captured)

    other.spool.restore()

    assert (other.spool.take(signal) is not None) is is_read
