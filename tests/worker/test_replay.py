from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Tally
from telemetry_forwarder.buffer.spool import SPOOL_DAMAGED
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, POSTS, Batch
from tests.support.backlogs import LONG, LONG_POST, Life, bodies
from tests.support.captured_log import CapturedLog
from tests.support.posts import event, post

Lives = Callable[..., Life]


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with CapturedLog() as captured:
        yield lambda **settings: Life(tmp_path, captured, **settings)


def replayed(life: Life) -> list[str]:
    """Replay every spooled post; return the lines that stayed in memory."""
    in_memory = []
    while life.replay.has_more:
        in_memory += bodies(life.replay.convert_next())
    return in_memory


def test_batches_of_a_post_take_its_place_on_disk(lives: Lives) -> None:
    lives().keeps(LONG_POST, post(event("function", "the end")))
    life = lives()

    assert replayed(life) == []
    assert life.written == [*LONG, "the end"]
    assert life.posts == Tally(POSTS, restored=2, delivered=2)
    assert life.spool.used_bytes == 0


def test_batches_keep_within_the_limits_of_a_request(lives: Lives) -> None:
    lives().keeps(LONG_POST)
    life = lives(settings={"BATCH_ITEMS": "700"})

    replayed(life)

    items = []
    while entry := life.spool.take(LOGS):
        items.append(entry.batch.items)
        life.spool.remove(entry)
    assert items == [700, 700, 600]


class Killed(BaseException):
    """What ends the process."""


class KilledAfterConversion(Converter):
    def take_in_past(self, body: bytes, observed_ns: int) -> list[Batch]:
        super().take_in_past(body, observed_ns)
        raise Killed


def test_process_that_is_killed_while_replaying_loses_nothing(lives: Lives) -> None:
    lives().keeps(LONG_POST)
    with pytest.raises(Killed):
        lives(kind=KilledAfterConversion).replay.convert_next()
    life = lives()

    replayed(life)

    assert life.written == LONG


def test_post_that_there_is_no_time_for_stays_on_disk_whole(lives: Lives) -> None:
    lives().keeps(LONG_POST)
    life = lives()
    sizes: list[int] = []

    in_memory = life.replay.convert_next(has_time_for=lambda size: bool(sizes.append(size)))

    assert (in_memory, life.replay.has_more, sizes) == ([], False, [len(LONG_POST)])
    assert life.posts == Tally(POSTS, restored=1, spooled=1)
    assert life.written == []


def test_what_the_disk_has_no_room_for_stays_in_memory(lives: Lives) -> None:
    other = post(event("function", "other"))
    first = lives()
    first.keeps(LONG_POST, other)
    life = lives(spool_bytes=first.spool.used_bytes)

    assert replayed(life) == LONG
    assert life.written == ["other"]
    assert life.posts == Tally(POSTS, restored=2, delivered=2)
    assert life.ledger.snapshot().of(LOGS).received == 1


def test_what_the_disk_refuses_stays_in_memory(lives: Lives) -> None:
    lives().keeps(post(event("function", "a line")))
    life = lives(left_free_bytes=1 << 60)

    assert replayed(life) == ["a line"]
    assert life.posts == Tally(POSTS, restored=1, delivered=1)


def test_at_the_last_chance_everything_stays_in_memory(lives: Lives) -> None:
    lives().keeps(LONG_POST)
    life = lives()

    assert bodies(life.replay.convert_next(is_last_chance=True)) == LONG
    assert (life.replay.has_more, life.written) == (False, [])
    assert life.posts == Tally(POSTS, restored=1, delivered=1)


def test_file_that_is_damaged_costs_itself(lives: Lives, tmp_path: Path) -> None:
    lives().keeps(post(event("function", "lost")), post(event("function", "kept")))
    with open(sorted(tmp_path.iterdir())[0], "r+b") as file:
        file.seek(-5, 2)
        file.write(b"?????")
    life = lives()

    replayed(life)

    assert life.written == ["kept"]
    assert life.posts == Tally(POSTS, restored=2, delivered=1, dropped={SPOOL_DAMAGED: 1})


def test_files_that_are_gone_are_not_replayed(lives: Lives, tmp_path: Path) -> None:
    lives().keeps(b"[]")
    life = lives()
    for path in tmp_path.iterdir():
        path.unlink()

    assert life.replay.convert_next() == []
    assert not life.replay.has_more


class Broken(Converter):
    def take_in_past(self, *_: object) -> list[Batch]:
        raise RuntimeError("broken on purpose")


def test_post_that_breaks_the_conversion_breaks_no_further_life(lives: Lives) -> None:
    lives().keeps(post(event("function", "a line")))
    life = lives(kind=Broken)

    assert life.replay.convert_next() == []
    assert life.posts == Tally(POSTS, restored=1, dropped={"failed with RuntimeError": 1})
    assert lives().posts == Tally(POSTS)
