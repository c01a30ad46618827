import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.buffer.spool import SPOOL_DAMAGED, SPOOL_FULL, SPOOL_GONE, Spool, SpooledBatch
from telemetry_forwarder.buffer.spool_format import SpoolFormat
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import LOGS, METRICS, POSTS, SIGNALS, SPANS, Batch
from telemetry_forwarder.diagnostics import Diagnostics
from tests.support.fake_clock import FakeClock
from tests.support.paths import PROJECT

BATCHES = [Batch(LOGS, b"first", 1), Batch(SPANS, b"second", 2), Batch(METRICS, b"third", 3)]


class Life:
    """One process with a spool. Another life in the same folder is what Lambda calls a reset."""

    def __init__(
        self,
        path: Path | str,
        *,
        limit_bytes: int = 1_000_000,
        left_free_bytes: int = 0,
        version: str = "7",
        clock: FakeClock | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.ledger = Ledger()
        self._said, said = os.pipe()
        os.set_blocking(self._said, False)
        self.spool = Spool(
            str(path),
            SpoolFormat(function="orders", version=version, life=b"\0\0\0\0"),
            ledger=self.ledger,
            clock=self.clock,
            diagnostics=Diagnostics("debug", self.clock, file=said),
            limit_bytes=limit_bytes,
            left_free_bytes=left_free_bytes,
        )
        self._to_say = said

    def write(self, *batches: Batch) -> list[Batch]:
        """Receive *batches*, then spool them."""
        for batch in batches:
            self.ledger.received(batch.signal, batch.items)
        return self.spool.write(batches, Deadline.after(1.0, self.clock))

    def take(self) -> SpooledBatch | None:
        """The first that there is, whatever its signal."""
        return next((entry for signal in SIGNALS if (entry := self.spool.take(signal))), None)

    def deliver_all(self) -> list[Batch]:
        delivered = []
        while entry := self.take():
            self.ledger.delivered(entry.batch.signal, entry.batch.items)
            self.spool.done(entry)
            delivered.append(entry.batch)
        return delivered

    def of(self, signal: str) -> Tally:
        assert self.ledger.snapshot().is_exact
        return self.ledger.snapshot().of(signal)

    def said(self) -> list[str]:
        try:
            return os.read(self._said, 65_536).decode().splitlines()
        except BlockingIOError:
            return []

    def end(self) -> None:
        os.close(self._said)
        os.close(self._to_say)


Lives = Callable[..., Life]


@pytest.fixture
def lives() -> Iterator[Lives]:
    """Makes lives, and ends them."""
    made: list[Life] = []

    def live(path: Path | str, **settings: object) -> Life:
        made.append(Life(path, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield live
    for life in made:
        life.end()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def files(path: Path) -> list[Path]:
    return sorted(path.iterdir())


def test_next_life_delivers_what_this_one_could_not(path: Path, lives: Lives) -> None:
    assert lives(path).write(*BATCHES) == []

    assert lives(path).deliver_all() == BATCHES
    assert files(path) == []


def test_same_life_can_deliver_later(path: Path, lives: Lives) -> None:
    life = lives(path)
    life.write(*BATCHES)

    assert life.deliver_all() == BATCHES
    assert life.spool.used_bytes == 0


def test_books_follow_a_batch_to_disk_and_back(path: Path, lives: Lives) -> None:
    first = lives(path)
    first.write(Batch(LOGS, b"x", 5))
    assert first.of(LOGS) == Tally(LOGS, received=5, spooled=5)

    second = lives(path)
    second.spool.restore()
    assert second.of(LOGS) == Tally(LOGS, restored=5, spooled=5)

    second.take()
    assert second.of(LOGS) == Tally(LOGS, restored=5, held=5)


def test_restoring_reads_names_only(path: Path, lives: Lives) -> None:
    lives(path).write(*BATCHES)
    for file in files(path):
        file.write_bytes(b"")

    life = lives(path)
    life.spool.restore()

    assert (life.spool.waiting, life.of(METRICS).restored) == (3, 3)


def test_restoring_twice_counts_once(path: Path, lives: Lives) -> None:
    lives(path).write(Batch(LOGS, b"x", 5))
    life = lives(path)

    life.spool.restore()
    life.spool.restore()

    assert life.of(LOGS).restored == 5


def test_nothing_is_created_before_there_is_something_to_keep(path: Path, lives: Lives) -> None:
    life = lives(path)

    assert life.take() is None
    assert life.write() == []
    assert not path.exists()
    assert life.said() == []


def test_parents_of_the_folder_are_created(tmp_path: Path, lives: Lives) -> None:
    path = tmp_path / "a" / "b"

    assert lives(path).write(*BATCHES) == []
    assert len(files(path)) == 3


def test_file_stays_until_its_batch_is_acknowledged(path: Path, lives: Lives) -> None:
    lives(path).write(BATCHES[0])

    assert lives(path).take() is not None
    assert lives(path).deliver_all() == [BATCHES[0]]


def test_acknowledged_batch_never_comes_again(path: Path, lives: Lives) -> None:
    lives(path).write(*BATCHES)
    dying = lives(path)
    entry = dying.take()
    assert entry is not None
    dying.spool.done(entry)

    assert lives(path).deliver_all() == BATCHES[1:]


def test_what_is_put_back_is_the_oldest_again(path: Path, lives: Lives) -> None:
    life = lives(path)
    life.write(*BATCHES)
    entry = life.take()
    assert entry is not None

    life.spool.put_back(entry)

    assert life.of(LOGS).spooled == 1
    assert life.deliver_all() == BATCHES


def test_older_lives_are_delivered_first_even_when_the_clock_steps_back(path: Path, lives: Lives) -> None:
    lives(path, clock=FakeClock(unix_ns=2_000)).write(BATCHES[0])
    lives(path, clock=FakeClock(unix_ns=1_000)).write(BATCHES[1])
    lives(path, clock=FakeClock(unix_ns=3_000)).write(BATCHES[2])

    assert lives(path).deliver_all() == BATCHES


def test_oldest_go_when_the_spool_is_full(path: Path, lives: Lives) -> None:
    life = lives(path, limit_bytes=2 * 4_096)

    assert life.write(*BATCHES) == []

    assert life.of(LOGS) == Tally(LOGS, received=1, dropped={SPOOL_FULL: 1})
    assert life.deliver_all() == BATCHES[1:]


def test_bound_that_was_lowered_holds_from_the_start(path: Path, lives: Lives) -> None:
    lives(path).write(*BATCHES)

    life = lives(path, limit_bytes=4_096)
    life.spool.restore()

    assert life.spool.used_bytes == 4_096
    assert life.deliver_all() == BATCHES[2:]


def test_batch_larger_than_the_spool_costs_no_other(path: Path, lives: Lives) -> None:
    life = lives(path, limit_bytes=2 * 4_096)
    large = Batch(LOGS, b"x" * 9_000, 1)

    assert life.write(BATCHES[0], large, BATCHES[1]) == [large]
    assert life.of(LOGS) == Tally(LOGS, received=2, held=1, spooled=1)
    assert life.deliver_all() == BATCHES[:2]


def test_batch_that_is_being_sent_does_not_make_room(path: Path, lives: Lives) -> None:
    life = lives(path, limit_bytes=4_096)
    life.write(BATCHES[0])
    life.take()

    assert life.write(BATCHES[1]) == [BATCHES[1]]
    assert lives(path).deliver_all() == [BATCHES[0]]


def test_nothing_is_written_after_the_deadline(path: Path, lives: Lives) -> None:
    life = lives(path)

    assert life.spool.write(BATCHES, Deadline.after(0.0, life.clock)) == BATCHES


def test_spool_of_no_bytes_is_off(path: Path, lives: Lives) -> None:
    life = lives(path, limit_bytes=0)

    assert life.write(*BATCHES) == BATCHES
    assert life.take() is None
    assert not path.exists()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_costs_the_damaged_file_only(path: Path, lives: Lives, data: st.DataObject) -> None:
    shutil.rmtree(path, ignore_errors=True)
    lives(path).write(*BATCHES)
    victim = files(path)[1]
    contents = bytearray(victim.read_bytes())
    at = data.draw(st.integers(0, len(contents) - 1))
    contents[at] ^= data.draw(st.integers(1, 255))
    victim.write_bytes(contents)

    life = lives(path)

    assert life.deliver_all() == [BATCHES[0], BATCHES[2]]
    assert life.of(SPANS) == Tally(SPANS, restored=2, dropped={SPOOL_DAMAGED: 2})
    assert life.spool.set_aside == {"damaged": 1}
    assert [file.name for file in files(path)] == [f"{victim.name}.set-aside"]


def test_file_cut_at_any_length_is_set_aside(path: Path, lives: Lives) -> None:
    lives(path).write(BATCHES[0])
    (whole,) = files(path)
    contents = whole.read_bytes()

    for length in range(len(contents)):
        shutil.rmtree(path)
        path.mkdir()
        whole.write_bytes(contents[:length])
        life = lives(path)

        assert life.deliver_all() == []
        assert life.of(LOGS) == Tally(LOGS, restored=1, dropped={SPOOL_DAMAGED: 1})
        assert life.spool.set_aside == {"damaged": 1}
        life.said()


@pytest.mark.parametrize("length", [0, 20])
def test_half_written_file_is_set_aside_and_its_items_counted(path: Path, lives: Lives, length: int) -> None:
    lives(path).write(BATCHES[1])
    (whole,) = files(path)
    (path / f"{whole.name}.part").write_bytes(whole.read_bytes()[:length])
    whole.unlink()

    life = lives(path)

    assert life.deliver_all() == []
    assert life.of(SPANS) == Tally(SPANS, restored=2, dropped={SPOOL_DAMAGED: 2})
    assert life.spool.set_aside == {"half-written": 1}


def test_whole_file_that_only_lacks_its_name_is_delivered(path: Path, lives: Lives) -> None:
    lives(path).write(BATCHES[1])
    (whole,) = files(path)
    whole.rename(path / f"{whole.name}.part")

    assert lives(path).deliver_all() == [BATCHES[1]]
    assert files(path) == []


def test_file_of_another_function_version_is_set_aside_and_not_counted_as_ours(
    path: Path, lives: Lives
) -> None:
    lives(path, version="6").write(BATCHES[0])

    life = lives(path, version="7")

    assert life.deliver_all() == []
    assert life.of(LOGS) == Tally(LOGS)
    assert life.spool.set_aside == {"foreign": 1}
    assert [file.suffix for file in files(path)] == [".set-aside"]


def test_foreign_files_are_set_aside_within_a_bound_and_the_rest_left_alone(path: Path, lives: Lives) -> None:
    path.mkdir()
    for number in range(20):
        (path / f"{number:02d}").touch()

    life = lives(path)
    life.spool.restore()

    assert life.spool.set_aside == {"foreign": 16}
    assert len(files(path)) == 20


def test_what_was_set_aside_stays_so_in_the_next_life(path: Path, lives: Lives) -> None:
    path.mkdir()
    (path / "odd").write_bytes(b"x")
    lives(path).spool.restore()

    life = lives(path)

    assert life.deliver_all() == []
    assert life.spool.set_aside == {}
    assert life.spool.used_bytes == 4_096


def test_what_was_set_aside_is_the_first_to_make_room(path: Path, lives: Lives) -> None:
    path.mkdir()
    (path / "odd").write_bytes(b"x")
    life = lives(path, limit_bytes=16 * 4_096)

    life.write(*(Batch(LOGS, b"x", 1) for _ in range(16)))

    assert life.of(LOGS) == Tally(LOGS, received=16, spooled=16)
    assert life.spool.used_bytes == 16 * 4_096


def test_link_in_place_of_a_file_is_not_followed(path: Path, tmp_path: Path, lives: Lives) -> None:
    lives(path).write(BATCHES[0])
    (file,) = files(path)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")

    life = lives(path)

    assert life.deliver_all() == []
    assert life.spool.set_aside == {"damaged": 1}
    assert (tmp_path / "elsewhere").exists()


def test_function_that_clears_tmp_costs_what_was_there(path: Path, lives: Lives) -> None:
    life = lives(path)
    life.write(*BATCHES[:2])
    shutil.rmtree(path)

    assert life.deliver_all() == []
    assert life.of(LOGS) == Tally(LOGS, received=1, dropped={SPOOL_GONE: 1})
    assert life.of(SPANS) == Tally(SPANS, received=2, dropped={SPOOL_GONE: 2})
    assert life.write(BATCHES[2]) == []
    assert life.deliver_all() == [BATCHES[2]]
    assert life.said() == []


def test_file_that_the_function_removed_costs_itself(path: Path, lives: Lives) -> None:
    life = lives(path)
    life.write(*BATCHES)
    files(path)[1].unlink()

    assert life.deliver_all() == [BATCHES[0], BATCHES[2]]
    assert life.of(SPANS).dropped == {SPOOL_GONE: 2}


def test_file_that_is_gone_when_it_is_done_is_no_failure(path: Path, lives: Lives) -> None:
    life = lives(path)
    life.write(BATCHES[0])
    entry = life.take()
    assert entry is not None
    shutil.rmtree(path)

    life.spool.done(entry)

    assert (life.spool.used_bytes, life.said()) == (0, [])


def test_file_in_place_of_the_folder_costs_the_spool_and_is_said_once(path: Path, lives: Lives) -> None:
    path.write_text("not a folder")
    life = lives(path)

    assert life.write(*BATCHES) == BATCHES
    assert life.write(*BATCHES) == BATCHES
    assert life.take() is None
    assert life.of(LOGS) == Tally(LOGS, received=2, held=2)
    assert life.said() == [
        f"[telemetry-forwarder] WARN spool: cannot write to {path}: File exists; going on without it"
    ]


def test_link_in_place_of_the_folder_costs_the_spool(path: Path, tmp_path: Path, lives: Lives) -> None:
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere")

    assert lives(path).write(*BATCHES) == BATCHES
    assert files(tmp_path / "elsewhere") == []


def test_last_bytes_of_the_disk_are_the_functions(path: Path, lives: Lives) -> None:
    life = lives(path, left_free_bytes=1 << 60)

    assert life.write(*BATCHES) == BATCHES
    assert life.said()[0].endswith("No space left on device; going on without it")


_PROJECT = PROJECT
_WRITES_UNTIL_IT_IS_KILLED = """
import sys
from telemetry_forwarder.core.batch import Batch
from tests.buffer.test_spool import Life
life = Life(sys.argv[1], limit_bytes=1_000_000_000)
while True:
    assert life.write(Batch("logs", b"x" * 1_000_000, 1)) == []
    print(flush=True)
"""


def test_process_killed_while_it_writes_loses_at_most_the_file_it_was_at(path: Path, lives: Lives) -> None:
    """Starts a real process, which takes longer than 0.1 s: nothing else dies like one."""
    command = [sys.executable, "-c", _WRITES_UNTIL_IT_IS_KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_PROJECT) as process:
        assert process.stdout
        for _ in range(10):
            process.stdout.readline()
        process.kill()
        written = 10 + len(process.stdout.readlines())

    life = lives(path, limit_bytes=1_000_000_000)

    assert written <= len(life.deliver_all()) <= written + 1
    assert sum(life.spool.set_aside.values()) <= 1
    assert life.of(LOGS).spooled == 0


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB that can be made read-only. Mounting needs root: others do without this test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(disk)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("cannot mount here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_costs_what_does_not_fit_and_is_said_once(tiny_disk: Path, lives: Lives) -> None:
    life = lives(tiny_disk / "spool")
    large = [Batch(LOGS, bytes([number]) * 25_000, 1) for number in range(4)]

    assert life.write(*large) == large[2:]
    assert life.of(LOGS) == Tally(LOGS, received=4, held=2, spooled=2)
    assert life.write(large[2]) == large[2:3]
    assert len(life.said()) == 1
    assert life.deliver_all() == large[:2]
    assert files(tiny_disk / "spool") == []


def test_disk_that_has_room_again_is_used_again(tiny_disk: Path, lives: Lives) -> None:
    life = lives(tiny_disk / "spool")
    (tiny_disk / "function's").write_bytes(b"x" * 60_000)
    assert life.write(Batch(LOGS, b"x" * 25_000, 1)) != []

    (tiny_disk / "function's").unlink()

    assert life.write(BATCHES[0]) == []


def test_read_only_disk_costs_the_spool_and_nothing_else(tiny_disk: Path, lives: Lives) -> None:
    lives(tiny_disk).write(*BATCHES)
    (tiny_disk / "odd").touch()
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    life = lives(tiny_disk)

    assert life.write(*BATCHES) == BATCHES
    assert life.deliver_all() == BATCHES
    assert life.spool.set_aside == {"foreign": 1}
    assert [line for line in life.said() if "Read-only" in line] == [
        "[telemetry-forwarder] WARN spool: cannot write to "
        f"{tiny_disk}: Read-only file system; going on without it"
    ]


def test_process_out_of_descriptors_loses_no_file(path: Path, lives: Lives) -> None:
    life = lives(path)
    life.write(BATCHES[0])
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    # One is enough for the folder, and not for the file in it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, hard))
    entry = life.take()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert entry is None
    assert life.said()[0].endswith("Too many open files; going on without it")
    assert life.deliver_all() == [BATCHES[0]]


def test_posts_wait_apart_and_make_room_as_any_other(lives: Lives, tmp_path: Path) -> None:
    life = lives(tmp_path, limit_bytes=2 * 4_096)
    life.write(Batch(POSTS, b"[1]", 1), Batch(LOGS, b"first", 1))

    assert (life.spool.waiting, life.spool.waiting_posts) == (1, 1)
    life.write(Batch(LOGS, b"second", 1))
    assert (life.spool.waiting, life.spool.waiting_posts) == (2, 0)
    assert life.ledger.snapshot().posts == Tally(POSTS, received=1, dropped={SPOOL_FULL: 1})
