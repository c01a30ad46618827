from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Tally
from telemetry_forwarder.buffer.spool import SPOOL_DAMAGED
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, POSTS, Batch
from tests.support.captured_log import CapturedLog
from tests.support.posts import event, post
from tests.support.spooling import LONG, LONG_POST, Process

Processes = Callable[..., Process]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with CapturedLog() as captured:
        yield lambda **settings: Process(tmp_path, captured, **settings)


def is_enough(_size_bytes: int) -> bool:
    return True


def replay_all(process: Process) -> None:
    process.replay.restore()
    while process.replay.has_more:
        process.replay.convert_next(is_enough)


def test_batches_of_a_post_take_its_place_on_disk(processes: Processes) -> None:
    processes().spool_raw(LONG_POST, post(event("function", "the end")))
    process = processes()

    replay_all(process)

    assert (process.in_memory, process.on_disk) == ([], [*LONG, "the end"])
    assert process.posts == Tally(POSTS, restored=2, delivered=2)
    assert process.spool.used_bytes == 0


def test_batches_keep_within_the_limits_of_a_request(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    process = processes(settings={"BATCH_ITEMS": "700"})

    replay_all(process)

    items = []
    while entry := process.spool.take(LOGS):
        items.append(entry.batch.items)
        process.spool.remove(entry)
    assert items == [700, 700, 600]


class Killed(BaseException):
    """Stands for the end of the process."""


class KilledAfterConversion(Converter):
    def convert_spooled(self, body: bytes, observed_ns: int) -> list[Batch]:
        super().convert_spooled(body, observed_ns)
        raise Killed


def test_process_that_is_killed_while_replaying_loses_nothing(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    with pytest.raises(Killed):
        replay_all(processes(kind=KilledAfterConversion))
    process = processes()

    replay_all(process)

    assert process.on_disk == LONG


def test_size_of_the_post_is_returned(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    process = processes()

    assert process.replay.convert_next(is_enough) == len(LONG_POST)
    assert process.replay.convert_next(is_enough) == 0


def test_post_that_there_is_no_time_for_stays_on_disk_whole(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    process = processes()
    process.replay.restore()

    converted = process.replay.convert_next(lambda size_bytes: size_bytes < len(LONG_POST))

    assert (converted, process.replay.has_more) == (0, False)
    assert process.posts == Tally(POSTS, restored=1, spooled=1)
    assert (process.in_memory, process.on_disk) == ([], [])


def test_batches_that_the_disk_has_no_room_for_stay_in_memory(processes: Processes) -> None:
    other = post(event("function", "other"))
    first = processes()
    first.spool_raw(LONG_POST, other)
    process = processes(spool_bytes=first.spool.used_bytes)

    replay_all(process)

    assert (process.in_memory, process.on_disk) == (LONG, ["other"])
    assert process.posts == Tally(POSTS, restored=2, delivered=2)
    assert process.ledger.snapshot().of(LOGS).received == len(LONG) + 1


def test_batches_that_the_disk_refuses_stay_in_memory(processes: Processes) -> None:
    processes().spool_raw(post(event("function", "a line")))
    process = processes(left_free_bytes=1 << 60)

    replay_all(process)

    assert process.in_memory == ["a line"]
    assert process.posts == Tally(POSTS, restored=1, delivered=1)


def test_at_the_last_chance_batches_stay_in_memory(processes: Processes) -> None:
    processes().spool_raw(LONG_POST)
    process = processes()

    process.replay.convert_next(is_enough, is_last_chance=True)

    assert (process.in_memory, process.on_disk) == (LONG, [])
    assert process.posts == Tally(POSTS, restored=1, delivered=1)


def test_damaged_file_costs_itself(processes: Processes, tmp_path: Path) -> None:
    processes().spool_raw(post(event("function", "lost")), post(event("function", "kept")))
    with open(sorted(tmp_path.iterdir())[0], "r+b") as file:
        file.seek(-5, 2)
        file.write(b"?????")
    process = processes()

    replay_all(process)

    assert process.on_disk == ["kept"]
    assert process.posts == Tally(POSTS, restored=2, delivered=1, dropped={SPOOL_DAMAGED: 1})


def test_missing_files_end_the_replay(processes: Processes, tmp_path: Path) -> None:
    processes().spool_raw(b"[]")
    process = processes()
    process.replay.restore()
    for path in tmp_path.iterdir():
        path.unlink()

    assert process.replay.has_more
    assert process.replay.convert_next(is_enough) == 0
    assert not process.replay.has_more


class Failing(Converter):
    def convert_spooled(self, *_: object) -> list[Batch]:
        raise RuntimeError("broken on purpose")


def test_post_that_the_conversion_fails_on_is_not_replayed_again(processes: Processes) -> None:
    processes().spool_raw(post(event("function", "a line")))
    process = processes(kind=Failing)

    replay_all(process)

    assert process.posts == Tally(POSTS, restored=1, dropped={"failed with RuntimeError": 1})
    assert processes().posts == Tally(POSTS)
