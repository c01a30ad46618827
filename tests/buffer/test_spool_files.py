import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.spool_files import (
    SET_ASIDE_LIMIT,
    SetAsideFiles,
    free_bytes,
    open_folder,
    read_whole,
    remove,
    write_whole,
)
from telemetry_forwarder.buffer.spool_format import SpoolFormat
from telemetry_forwarder.core.batch import LOGS, Batch

FORMAT = SpoolFormat(function="orders", version="7", process=b"\0\0\0\0")
CONTENTS = FORMAT.encode(Batch(LOGS, b"body", 1))
FILE = FORMAT.new_file(1, Batch(LOGS, b"body", 1), CONTENTS.size_bytes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir(mode=0o700)
    return path


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Limit the size of files, which makes a write fail in the middle, like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_file_is_read_as_it_was_written(path: Path) -> None:
    with open_folder(str(path)) as folder:
        write_whole(folder, FILE, CONTENTS)

        assert read_whole(folder, FILE) == CONTENTS.head + CONTENTS.body


def test_only_the_owner_can_read_a_file(path: Path) -> None:
    with open_folder(str(path)) as folder:
        write_whole(folder, FILE, CONTENTS)

    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in path.iterdir()] == [(FILE.name, 0o600)]


def test_folder_is_made_private(path: Path) -> None:
    path.chmod(0o777)

    with open_folder(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("slash", ["", "/"])
def test_folder_that_is_a_link_is_refused(path: Path, tmp_path: Path, slash: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)

    with pytest.raises(OSError, match=r"Not a directory|Too many levels"), open_folder(f"{link}{slash}"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change a folder's owner")
def test_folder_of_another_user_is_refused(path: Path) -> None:
    os.chown(path, 12_345, -1)

    with pytest.raises(PermissionError, match="another user"), open_folder(str(path)):
        pass


def test_failed_write_leaves_no_file(path: Path) -> None:
    with open_folder(str(path)) as folder, files_of_at_most(CONTENTS.size_bytes - 1):
        with pytest.raises(OSError, match="File too large"):
            write_whole(folder, FILE, CONTENTS)

        assert os.listdir(folder) == []


def test_existing_unfinished_file_is_not_overwritten(path: Path) -> None:
    (path / FILE.part_name).write_bytes(b"other")

    with open_folder(str(path)) as folder, pytest.raises(FileExistsError):
        write_whole(folder, FILE, CONTENTS)

    assert (path / FILE.part_name).read_bytes() == b"other"


@pytest.mark.parametrize("size_bytes", [0, CONTENTS.size_bytes - 1, CONTENTS.size_bytes + 1])
def test_file_whose_size_differs_from_its_name_is_not_read(path: Path, size_bytes: int) -> None:
    (path / FILE.name).write_bytes(b"x" * size_bytes)

    with open_folder(str(path)) as folder:
        assert read_whole(folder, FILE) == b""


def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENTS.head + CONTENTS.body)
    (path / FILE.name).symlink_to(secret)

    with open_folder(str(path)) as folder, pytest.raises(OSError, match="Too many levels"):
        read_whole(folder, FILE)


def test_pipe_does_not_block_reading(path: Path) -> None:
    os.mkfifo(path / FILE.name)

    with open_folder(str(path)) as folder:
        assert read_whole(folder, FILE) == b""


def test_removing_a_missing_file_succeeds(path: Path) -> None:
    (path / FILE.name).touch()

    with open_folder(str(path)) as folder:
        remove(folder, FILE.name)
        remove(folder, FILE.name)

        assert os.listdir(folder) == []
        assert free_bytes(folder) > 0


def test_file_set_aside_is_renamed_and_counted(path: Path) -> None:
    aside = SetAsideFiles(100_000)
    (path / "odd").write_bytes(b"x" * 5_000)

    with open_folder(str(path)) as folder:
        aside.rename(folder, "odd")

    assert os.listdir(path) == ["odd.set-aside"]
    assert (len(aside), aside.used_bytes) == (1, 8_192)


def test_files_set_aside_are_bounded_in_number(path: Path) -> None:
    aside = SetAsideFiles(1_000_000)
    names = [f"{number:02d}" for number in range(SET_ASIDE_LIMIT + 3)]

    with open_folder(str(path)) as folder:
        for name in names:
            (path / name).touch()
            aside.rename(folder, name)

    assert sorted(os.listdir(path)) == [f"{name}.set-aside" for name in names[3:]]
    assert len(aside) == SET_ASIDE_LIMIT


def test_files_set_aside_are_bounded_in_bytes(path: Path) -> None:
    aside = SetAsideFiles(9_000)

    with open_folder(str(path)) as folder:
        for name in ("a", "b", "c"):
            (path / name).write_bytes(b"x")
            aside.rename(folder, name)

    assert sorted(os.listdir(path)) == ["b.set-aside", "c.set-aside"]
    assert aside.used_bytes == 8_192


def test_file_that_cannot_be_set_aside_is_left_in_place(path: Path) -> None:
    aside = SetAsideFiles(100_000)

    with open_folder(str(path)) as folder:
        aside.rename(folder, "gone")
        aside.add(folder, "gone.set-aside")

    assert (len(aside), aside.used_bytes) == (0, 0)


def test_file_that_cannot_be_removed_is_forgotten(path: Path) -> None:
    aside = SetAsideFiles(100_000)
    (path / "folder").mkdir()

    with open_folder(str(path)) as folder:
        aside.rename(folder, "folder")
        aside.remove_oldest(folder)

    assert (len(aside), aside.used_bytes) == (0, 0)
    assert os.listdir(path) == ["folder.set-aside"]
