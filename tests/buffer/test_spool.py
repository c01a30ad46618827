import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.buffer.spool import SPOOL_DAMAGED, SPOOL_FULL, SPOOL_GONE, Spool
from telemetry_forwarder.buffer.spool_format import SpooledBatch, SpoolFormat
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import LOGS, METRICS, POSTS, SIGNALS, SPANS, Batch
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.paths import PROJECT

BATCHES = [Batch(LOGS, b"first", 1), Batch(SPANS, b"second", 2), Batch(METRICS, b"third", 3)]


class Process:
    """One process with a spool. Another one in the same folder is what follows when Lambda resets it."""

    def __init__(
        self,
        path: Path | str,
        log: CapturedLog,
        *,
        limit_bytes: int = 1_000_000,
        left_free_bytes: int = 0,
        version: str = "7",
        clock: FakeClock | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.ledger = Ledger()
        self.log = log
        self.spool = Spool(
            str(path),
            SpoolFormat(function="orders", version=version, process=b"\0\0\0\0"),
            ledger=self.ledger,
            clock=self.clock,
            log=log.diagnostics(self.clock),
            limit_bytes=limit_bytes,
            left_free_bytes=left_free_bytes,
        )

    def write(self, *batches: Batch) -> list[Batch]:
        """Receive *batches*, then spool them."""
        for batch in batches:
            self.ledger.received(batch.signal, batch.items)
        return self.spool.write(batches, Deadline.after(1.0, self.clock))

    def take(self) -> SpooledBatch | None:
        """Take the first batch of any signal."""
        return next((spooled for signal in SIGNALS if (spooled := self.spool.take(signal))), None)

    def deliver_all(self) -> list[Batch]:
        delivered = []
        while spooled := self.take():
            self.ledger.delivered(spooled.batch.signal, spooled.batch.items)
            self.spool.remove(spooled)
            delivered.append(spooled.batch)
        return delivered

    def of(self, signal: str) -> Tally:
        assert self.ledger.snapshot().is_exact
        return self.ledger.snapshot().of(signal)

    def set_aside(self) -> list[str]:
        """Return the reason of each file that the log reports as set aside; it reports one a minute."""
        matches = [re.fullmatch(r"WARN spool: set aside (\S+) file \S+", line) for line in self.log.lines]
        return [match[1] for match in matches if match]


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda path, **settings: Process(path, stack.enter_context(CapturedLog()), **settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def files(path: Path) -> list[Path]:
    return sorted(path.iterdir())


def test_next_process_delivers_the_spooled_batches(path: Path, start: Start) -> None:
    assert start(path).write(*BATCHES) == []

    assert start(path).deliver_all() == BATCHES
    assert files(path) == []


def test_same_process_can_deliver_later(path: Path, start: Start) -> None:
    process = start(path)
    process.write(*BATCHES)

    assert process.deliver_all() == BATCHES
    assert process.spool.used_bytes == 0


def test_ledger_follows_a_batch_to_disk_and_back(path: Path, start: Start) -> None:
    first = start(path)
    first.write(Batch(LOGS, b"x", 5))
    assert first.of(LOGS) == Tally(LOGS, received=5, spooled=5)

    second = start(path)
    second.spool.restore()
    assert second.of(LOGS) == Tally(LOGS, restored=5, spooled=5)

    second.take()
    assert second.of(LOGS) == Tally(LOGS, restored=5, held=5)


def test_restoring_reads_names_only(path: Path, start: Start) -> None:
    start(path).write(*BATCHES)
    for file in files(path):
        file.write_bytes(b"")

    process = start(path)
    process.spool.restore()

    assert (process.spool.waiting, process.of(METRICS).restored) == (3, 3)


def test_restoring_twice_counts_once(path: Path, start: Start) -> None:
    start(path).write(Batch(LOGS, b"x", 5))
    process = start(path)

    process.spool.restore()
    process.spool.restore()

    assert process.of(LOGS).restored == 5


def test_folder_is_created_with_the_first_file(path: Path, start: Start) -> None:
    process = start(path)

    assert process.take() is None
    assert process.write() == []
    assert not path.exists()
    assert process.log.lines == []


def test_parents_of_the_folder_are_created(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "a" / "b"

    assert start(path).write(*BATCHES) == []
    assert len(files(path)) == 3


def test_file_stays_until_its_batch_is_acknowledged(path: Path, start: Start) -> None:
    start(path).write(BATCHES[0])

    assert start(path).take() is not None
    assert start(path).deliver_all() == [BATCHES[0]]


def test_acknowledged_batch_is_not_delivered_again(path: Path, start: Start) -> None:
    start(path).write(*BATCHES)
    first = start(path)
    spooled = first.take()
    assert spooled is not None
    first.spool.remove(spooled)

    assert start(path).deliver_all() == BATCHES[1:]


def test_batch_that_is_put_back_is_the_oldest_again(path: Path, start: Start) -> None:
    process = start(path)
    process.write(*BATCHES)
    spooled = process.take()
    assert spooled is not None

    process.spool.put_back(spooled)

    assert process.of(LOGS).spooled == 1
    assert process.deliver_all() == BATCHES


def test_batches_of_earlier_processes_are_delivered_first_even_if_the_clock_steps_back(
    path: Path, start: Start
) -> None:
    start(path, clock=FakeClock(unix_ns=2_000)).write(BATCHES[0])
    start(path, clock=FakeClock(unix_ns=1_000)).write(BATCHES[1])
    start(path, clock=FakeClock(unix_ns=3_000)).write(BATCHES[2])

    assert start(path).deliver_all() == BATCHES


def test_oldest_batch_is_dropped_when_the_spool_is_full(path: Path, start: Start) -> None:
    process = start(path, limit_bytes=2 * 4_096)

    assert process.write(*BATCHES) == []

    assert process.of(LOGS) == Tally(LOGS, received=1, dropped={SPOOL_FULL: 1})
    assert process.deliver_all() == BATCHES[1:]


@pytest.mark.parametrize("is_one_process", [True, False])
def test_oldest_batch_is_dropped_although_the_clock_was_set_back(
    path: Path, start: Start, *, is_one_process: bool
) -> None:
    clock = FakeClock(unix_ns=2_000_000_000_000)
    process = start(path, clock=clock, limit_bytes=2 * 4_096)
    for batch in BATCHES:
        process.write(batch)
        clock.jump_wall(-600)
        if not is_one_process:
            process = start(path, clock=clock, limit_bytes=2 * 4_096)

    assert start(path).deliver_all() == BATCHES[1:]


def test_files_that_follow_one_with_a_name_from_the_distant_future_are_found(path: Path, start: Start) -> None:
    start(path).write(BATCHES[0])
    (file,) = files(path)
    file.rename(path / ("9" * 20 + file.name[20:]))

    start(path).write(BATCHES[1])
    start(path).write(BATCHES[2])

    assert start(path).deliver_all() == BATCHES


def test_lowered_limit_holds_from_the_start(path: Path, start: Start) -> None:
    start(path).write(*BATCHES)

    process = start(path, limit_bytes=4_096)
    process.spool.restore()

    assert process.spool.used_bytes == 4_096
    assert process.deliver_all() == BATCHES[2:]


def test_batch_larger_than_the_spool_is_refused_and_no_other_dropped(path: Path, start: Start) -> None:
    process = start(path, limit_bytes=2 * 4_096)
    large = Batch(LOGS, b"x" * 9_000, 1)

    assert process.write(BATCHES[0], large, BATCHES[1]) == [large]
    assert process.of(LOGS) == Tally(LOGS, received=2, held=1, spooled=1)
    assert process.deliver_all() == BATCHES[:2]


def test_batch_that_was_taken_is_not_removed_to_make_room(path: Path, start: Start) -> None:
    process = start(path, limit_bytes=4_096)
    process.write(BATCHES[0])
    process.take()

    assert process.write(BATCHES[1]) == [BATCHES[1]]
    assert start(path).deliver_all() == [BATCHES[0]]


def test_nothing_is_written_after_the_deadline(path: Path, start: Start) -> None:
    process = start(path)

    assert process.spool.write(BATCHES, Deadline.after(0.0, process.clock)) == BATCHES


def test_limit_of_zero_turns_the_spool_off(path: Path, start: Start) -> None:
    process = start(path, limit_bytes=0)

    assert process.write(*BATCHES) == BATCHES
    assert process.take() is None
    assert not path.exists()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_damaged_file_is_set_aside_and_the_others_delivered(path: Path, start: Start, data: st.DataObject) -> None:
    shutil.rmtree(path, ignore_errors=True)
    start(path).write(*BATCHES)
    victim = files(path)[1]
    contents = bytearray(victim.read_bytes())
    at = data.draw(st.integers(0, len(contents) - 1))
    contents[at] ^= data.draw(st.integers(1, 255))
    victim.write_bytes(contents)

    process = start(path)

    assert process.deliver_all() == [BATCHES[0], BATCHES[2]]
    assert process.of(SPANS) == Tally(SPANS, restored=2, dropped={SPOOL_DAMAGED: 2})
    assert process.set_aside() == ["damaged"]
    assert [file.name for file in files(path)] == [f"{victim.name}.set-aside"]


def test_of_many_damaged_files_some_are_set_aside_and_a_call_reads_no_more(path: Path, start: Start) -> None:
    start(path).write(*BATCHES[:1] * 20)
    for file in files(path):
        file.write_bytes(b"damaged")
    # What cannot be removed stays.
    files(path)[-1].unlink()
    folder = path / f"{files(path)[-1].name[:-6]}9.batch"
    folder.mkdir()

    process = start(path)

    assert process.take() is None
    assert process.of(LOGS).dropped == {SPOOL_DAMAGED: 16}
    assert process.take() is None
    assert process.of(LOGS) == Tally(LOGS, restored=20, dropped={SPOOL_DAMAGED: 20})
    assert [file.name for file in files(path) if not file.name.endswith(".set-aside")] == [folder.name]


def test_file_cut_at_any_length_is_set_aside(path: Path, start: Start) -> None:
    start(path).write(BATCHES[0])
    (whole,) = files(path)
    contents = whole.read_bytes()

    for length in range(len(contents)):
        shutil.rmtree(path)
        path.mkdir()
        whole.write_bytes(contents[:length])
        process = start(path)

        assert process.deliver_all() == []
        assert process.of(LOGS) == Tally(LOGS, restored=1, dropped={SPOOL_DAMAGED: 1})
        assert process.set_aside() == ["damaged"]


@pytest.mark.parametrize("length", [0, 20])
def test_half_written_file_is_set_aside_and_its_items_counted(path: Path, start: Start, length: int) -> None:
    start(path).write(BATCHES[1])
    (whole,) = files(path)
    (path / f"{whole.name}.part").write_bytes(whole.read_bytes()[:length])
    whole.unlink()

    process = start(path)

    assert process.deliver_all() == []
    assert process.of(SPANS) == Tally(SPANS, restored=2, dropped={SPOOL_DAMAGED: 2})
    assert process.set_aside() == ["half-written"]


def test_complete_file_that_was_not_renamed_is_delivered(path: Path, start: Start) -> None:
    start(path).write(BATCHES[1])
    (whole,) = files(path)
    whole.rename(path / f"{whole.name}.part")

    assert start(path).deliver_all() == [BATCHES[1]]
    assert files(path) == []


def test_file_of_another_function_version_is_set_aside_and_not_counted(path: Path, start: Start) -> None:
    start(path, version="6").write(BATCHES[0])

    process = start(path, version="7")

    assert process.deliver_all() == []
    assert process.of(LOGS) == Tally(LOGS)
    assert process.set_aside() == ["foreign"]
    assert [file.suffix for file in files(path)] == [".set-aside"]


def test_foreign_files_are_set_aside_up_to_a_limit_and_the_rest_left_alone(path: Path, start: Start) -> None:
    path.mkdir()
    for number in range(20):
        (path / f"{number:02d}").touch()

    process = start(path)
    process.spool.restore()

    assert len([file for file in files(path) if file.suffix == ".set-aside"]) == 16
    assert len(files(path)) == 20


def test_files_set_aside_stay_so_in_the_next_process(path: Path, start: Start) -> None:
    path.mkdir()
    (path / "odd").write_bytes(b"x")
    start(path).spool.restore()

    process = start(path)

    assert process.deliver_all() == []
    assert process.set_aside() == []
    assert process.spool.used_bytes == 4_096


def test_files_set_aside_are_removed_first_to_make_room(path: Path, start: Start) -> None:
    path.mkdir()
    (path / "odd").write_bytes(b"x")
    process = start(path, limit_bytes=16 * 4_096)

    process.write(*(Batch(LOGS, b"x", 1) for _ in range(16)))

    assert process.of(LOGS) == Tally(LOGS, received=16, spooled=16)
    assert process.spool.used_bytes == 16 * 4_096


def test_link_in_place_of_a_file_is_not_followed(path: Path, tmp_path: Path, start: Start) -> None:
    start(path).write(BATCHES[0])
    (file,) = files(path)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")

    process = start(path)

    assert process.deliver_all() == []
    assert process.set_aside() == ["damaged"]
    assert (tmp_path / "elsewhere").exists()


def test_batches_are_dropped_if_the_function_clears_tmp(path: Path, start: Start) -> None:
    process = start(path)
    process.write(*BATCHES[:2])
    shutil.rmtree(path)

    assert process.deliver_all() == []
    assert process.of(LOGS) == Tally(LOGS, received=1, dropped={SPOOL_GONE: 1})
    assert process.of(SPANS) == Tally(SPANS, received=2, dropped={SPOOL_GONE: 2})
    assert process.write(BATCHES[2]) == []
    assert process.deliver_all() == [BATCHES[2]]
    assert process.log.lines == []


def test_batch_is_dropped_if_the_function_removed_its_file(path: Path, start: Start) -> None:
    process = start(path)
    process.write(*BATCHES)
    files(path)[1].unlink()

    assert process.deliver_all() == [BATCHES[0], BATCHES[2]]
    assert process.of(SPANS).dropped == {SPOOL_GONE: 2}


def test_removing_a_missing_file_succeeds(path: Path, start: Start) -> None:
    process = start(path)
    process.write(BATCHES[0])
    spooled = process.take()
    assert spooled is not None
    shutil.rmtree(path)

    process.spool.remove(spooled)

    assert (process.spool.used_bytes, process.log.lines) == (0, [])


def test_file_in_place_of_the_folder_is_logged_once_and_batches_stay_in_memory(path: Path, start: Start) -> None:
    path.write_text("not a folder")
    process = start(path)

    assert process.write(*BATCHES) == BATCHES
    assert process.write(*BATCHES) == BATCHES
    assert process.take() is None
    assert process.of(LOGS) == Tally(LOGS, received=2, held=2)
    where = f"TELEMETRY_FORWARDER_SPOOL_DIR, {path}"
    assert process.log.lines == [f"WARN spool: cannot write to {where}: File exists; batches stay in memory"]


def test_link_in_place_of_the_folder_is_not_followed(path: Path, tmp_path: Path, start: Start) -> None:
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere")

    assert start(path).write(*BATCHES) == BATCHES
    assert files(tmp_path / "elsewhere") == []


def test_free_space_on_the_disk_is_left_for_the_function(path: Path, start: Start) -> None:
    process = start(path, left_free_bytes=1 << 60)

    assert process.write(*BATCHES) == BATCHES
    assert process.log.lines[0].endswith("No space left on device; batches stay in memory")


_WRITES_UNTIL_IT_IS_KILLED = """
import sys
from telemetry_forwarder.core.batch import Batch
from tests.buffer.test_spool import Process
from tests.support.captured_log import CapturedLog
with CapturedLog() as log:
    process = Process(sys.argv[1], log, limit_bytes=1_000_000_000)
    while True:
        assert process.write(Batch("logs", b"x" * 1_000_000, 1)) == []
        print(flush=True)
"""


def test_process_killed_while_it_writes_loses_at_most_the_current_file(path: Path, start: Start) -> None:
    """Starts a real process, which takes longer than 0.1 s."""
    command = [sys.executable, "-c", _WRITES_UNTIL_IT_IS_KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as writer:
        assert writer.stdout
        for _ in range(10):
            writer.stdout.readline()
        writer.kill()
        written = 10 + len(writer.stdout.readlines())

    process = start(path, limit_bytes=1_000_000_000)

    assert written <= len(process.deliver_all()) <= written + 1
    assert len([file for file in files(path) if file.suffix == ".set-aside"]) <= 1
    assert process.of(LOGS).spooled == 0


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB that can be made read-only. Mounting needs root; without it the tests are skipped."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(disk)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("cannot mount here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_is_logged_once_and_the_rest_stays_in_memory(tiny_disk: Path, start: Start) -> None:
    process = start(tiny_disk / "spool")
    large = [Batch(LOGS, bytes([number]) * 25_000, 1) for number in range(4)]

    assert process.write(*large) == large[2:]
    assert process.of(LOGS) == Tally(LOGS, received=4, held=2, spooled=2)
    assert process.write(large[2]) == large[2:3]
    assert len(process.log.lines) == 1
    assert process.deliver_all() == large[:2]
    assert files(tiny_disk / "spool") == []


def test_disk_is_used_again_when_it_has_room(tiny_disk: Path, start: Start) -> None:
    process = start(tiny_disk / "spool")
    (tiny_disk / "function's").write_bytes(b"x" * 60_000)
    assert process.write(Batch(LOGS, b"x" * 25_000, 1)) != []

    (tiny_disk / "function's").unlink()

    assert process.write(BATCHES[0]) == []


def test_read_only_disk_is_logged_once_and_its_batches_delivered(tiny_disk: Path, start: Start) -> None:
    start(tiny_disk).write(*BATCHES)
    (tiny_disk / "odd").touch()
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    process = start(tiny_disk)

    assert process.write(*BATCHES) == BATCHES
    assert process.deliver_all() == BATCHES
    assert process.set_aside() == ["foreign"]
    where = f"TELEMETRY_FORWARDER_SPOOL_DIR, {tiny_disk}"
    assert [line for line in process.log.lines if "Read-only" in line] == [
        f"WARN spool: cannot write to {where}: Read-only file system; batches stay in memory"
    ]


def test_process_without_free_descriptors_loses_no_file(path: Path, start: Start) -> None:
    process = start(path)
    process.write(BATCHES[0])
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    # One descriptor is enough for the folder, but not for the file in it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, hard))
    spooled = process.take()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert spooled is None
    assert process.log.lines[0].endswith("Too many open files; batches stay in memory")
    assert process.deliver_all() == [BATCHES[0]]


def test_posts_are_counted_separately_and_removed_like_batches_to_make_room(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path, limit_bytes=2 * 4_096)
    process.write(Batch(POSTS, b"[1]", 1), Batch(LOGS, b"first", 1))

    assert (process.spool.waiting, process.spool.waiting_posts) == (1, 1)
    process.write(Batch(LOGS, b"second", 1))
    assert (process.spool.waiting, process.spool.waiting_posts) == (2, 0)
    assert process.ledger.snapshot().posts == Tally(POSTS, received=1, dropped={SPOOL_FULL: 1})


@pytest.mark.parametrize(("size_bytes", "has_room"), [(3_000, True), (4_000, False)])
def test_room_includes_the_head_of_the_file(path: Path, start: Start, size_bytes: int, has_room: bool) -> None:
    process = start(path, limit_bytes=2 * 4_096)
    process.write(BATCHES[0])

    assert process.spool.has_room_for([Batch(LOGS, b"x" * size_bytes, 1)]) is has_room
