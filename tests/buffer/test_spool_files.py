import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.spool_files import (
    MOST_SET_ASIDE,
    Aside,
    free_bytes,
    on_disk,
    opened,
    read_whole,
    remove,
    write_whole,
)
from telemetry_forwarder.buffer.spool_format import SpoolFile, SpoolFormat
from telemetry_forwarder.core.batch import LOGS, Batch

FORMAT = SpoolFormat(function="orders", version="7", life=b"\0\0\0\0")
CONTENTS = FORMAT.contents(Batch(LOGS, b"body", 1))
FILE = FORMAT.new_file(1, Batch(LOGS, b"body", 1), CONTENTS.size_bytes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir(mode=0o700)
    return path


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """The kernel's limit on the size of a file, which fails a write half way like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_file_comes_back_as_it_was_written(path: Path) -> None:
    with opened(str(path)) as folder:
        write_whole(folder, FILE, CONTENTS)

        assert read_whole(folder, FILE) == CONTENTS.head + CONTENTS.body


def test_only_we_can_read_a_file(path: Path) -> None:
    with opened(str(path)) as folder:
        write_whole(folder, FILE, CONTENTS)

    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in path.iterdir()] == [(FILE.name, 0o600)]


def test_folder_that_others_could_enter_is_closed_to_them(path: Path) -> None:
    path.chmod(0o777)

    with opened(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("slash", ["", "/"])
def test_folder_that_is_a_link_is_refused(path: Path, tmp_path: Path, slash: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)

    with pytest.raises(OSError, match=r"Not a directory|Too many levels"), opened(f"{link}{slash}"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_another_user_is_refused(path: Path) -> None:
    os.chown(path, 12_345, -1)

    with pytest.raises(PermissionError, match="another user"), opened(str(path)):
        pass


def test_write_that_fails_half_way_leaves_nothing(path: Path) -> None:
    with opened(str(path)) as folder, files_of_at_most(CONTENTS.size_bytes - 1):
        with pytest.raises(OSError, match="File too large"):
            write_whole(folder, FILE, CONTENTS)

        assert os.listdir(folder) == []


def test_unfinished_file_of_the_same_name_is_not_written_over(path: Path) -> None:
    (path / FILE.part_name).write_bytes(b"somebody's")

    with opened(str(path)) as folder, pytest.raises(FileExistsError):
        write_whole(folder, FILE, CONTENTS)

    assert (path / FILE.part_name).read_bytes() == b"somebody's"


@pytest.mark.parametrize("size_bytes", [0, CONTENTS.size_bytes - 1, CONTENTS.size_bytes + 1])
def test_file_of_another_length_than_its_name_says_is_not_read(path: Path, size_bytes: int) -> None:
    (path / FILE.name).write_bytes(b"x" * size_bytes)

    with opened(str(path)) as folder:
        assert read_whole(folder, FILE) == b""


def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENTS.head + CONTENTS.body)
    (path / FILE.name).symlink_to(secret)

    with opened(str(path)) as folder, pytest.raises(OSError, match="Too many levels"):
        read_whole(folder, FILE)


def test_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path / FILE.name)

    with opened(str(path)) as folder:
        assert read_whole(folder, FILE) == b""


def test_removing_what_is_gone_is_no_failure(path: Path) -> None:
    (path / FILE.name).touch()

    with opened(str(path)) as folder:
        remove(folder, FILE.name)
        remove(folder, FILE.name)

        assert os.listdir(folder) == []
        assert free_bytes(folder) > 0


@pytest.mark.parametrize(("size_bytes", "used_bytes"), [(0, 0), (1, 4_096), (4_096, 4_096), (4_097, 8_192)])
def test_disk_gives_whole_blocks(size_bytes: int, used_bytes: int) -> None:
    assert on_disk(size_bytes) == used_bytes


def test_file_set_aside_is_renamed_and_counted(path: Path) -> None:
    aside = Aside(100_000)
    (path / "odd").write_bytes(b"x" * 5_000)

    with opened(str(path)) as folder:
        aside.put(folder, "odd", "foreign")

    assert os.listdir(path) == ["odd.set-aside"]
    assert (len(aside), aside.used_bytes, aside.counts) == (1, 8_192, {"foreign": 1})


def test_files_set_aside_are_bounded_in_number(path: Path) -> None:
    aside = Aside(1_000_000)
    names = [f"{number:02d}" for number in range(MOST_SET_ASIDE + 3)]

    with opened(str(path)) as folder:
        for name in names:
            (path / name).touch()
            aside.put(folder, name, "foreign")

    assert sorted(os.listdir(path)) == [f"{name}.set-aside" for name in names[3:]]
    assert aside.counts == {"foreign": MOST_SET_ASIDE + 3}


def test_files_set_aside_are_bounded_in_bytes(path: Path) -> None:
    aside = Aside(9_000)

    with opened(str(path)) as folder:
        for name in ("a", "b", "c"):
            (path / name).write_bytes(b"x")
            aside.put(folder, name, "damaged")

    assert sorted(os.listdir(path)) == ["b.set-aside", "c.set-aside"]
    assert aside.used_bytes == 8_192


def test_what_cannot_be_set_aside_is_left_and_counted(path: Path) -> None:
    aside = Aside(100_000)

    with opened(str(path)) as folder:
        aside.put(folder, "gone", "damaged")
        aside.keep(folder, "gone.set-aside")

    assert (len(aside), aside.used_bytes, aside.counts) == (0, 0, {"damaged": 1})


def test_what_cannot_be_removed_is_forgotten(path: Path) -> None:
    aside = Aside(100_000)
    (path / "folder").mkdir()

    with opened(str(path)) as folder:
        aside.put(folder, "folder", "foreign")
        aside.remove_oldest(folder)

    assert (len(aside), aside.used_bytes) == (0, 0)
    assert os.listdir(path) == ["folder.set-aside"]


def test_file_name_is_the_whole_of_what_is_known(path: Path) -> None:
    with opened(str(path)) as folder:
        write_whole(folder, FILE, CONTENTS)
        (name,) = os.listdir(folder)

    assert FORMAT.file(name) == SpoolFile(FILE.name, 1, LOGS, 1, CONTENTS.size_bytes, is_part=False)
