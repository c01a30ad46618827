import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.spool_files import (
    SET_ASIDE_LIMIT,
    SET_ASIDE_SUFFIX,
    free_bytes,
    on_disk,
    open_folder,
    read_whole,
    remove,
    set_aside,
    trim_set_aside,
    write_whole,
)
from telemetry_forwarder.buffer.spool_format import SpoolFormat
from telemetry_forwarder.core.batch import LOGS, Batch

FORMAT = SpoolFormat(function="orders", version="7", process=b"\0\0\0\0")
BODY = b"body"
HEAD = FORMAT.head(Batch(LOGS, BODY, 1))
SIZE_BYTES = len(HEAD + BODY)
FILE = FORMAT.new_file(1, Batch(LOGS, BODY, 1), SIZE_BYTES)


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
        write_whole(folder, FILE, HEAD, BODY)

        assert read_whole(folder, FILE) == HEAD + BODY


def test_only_the_owner_can_read_a_file(path: Path) -> None:
    with open_folder(str(path)) as folder:
        write_whole(folder, FILE, HEAD, BODY)

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
    with open_folder(str(path)) as folder, files_of_at_most(SIZE_BYTES - 1):
        with pytest.raises(OSError, match="File too large"):
            write_whole(folder, FILE, HEAD, BODY)

        assert os.listdir(folder) == []


def test_existing_unfinished_file_is_not_overwritten(path: Path) -> None:
    (path / FILE.part_name).write_bytes(b"other")

    with open_folder(str(path)) as folder, pytest.raises(FileExistsError):
        write_whole(folder, FILE, HEAD, BODY)

    assert (path / FILE.part_name).read_bytes() == b"other"


@pytest.mark.parametrize("size_bytes", [0, SIZE_BYTES - 1, SIZE_BYTES + 1])
def test_file_whose_size_differs_from_its_name_is_not_read(path: Path, size_bytes: int) -> None:
    (path / FILE.name).write_bytes(b"x" * size_bytes)

    with open_folder(str(path)) as folder:
        assert read_whole(folder, FILE) == b""


def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(HEAD + BODY)
    (path / FILE.name).symlink_to(secret)

    with open_folder(str(path)) as folder:
        assert read_whole(folder, FILE) == b""


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


def test_missing_file_is_reported_as_such(path: Path) -> None:
    with open_folder(str(path)) as folder, pytest.raises(FileNotFoundError):
        read_whole(folder, FILE)


@pytest.mark.parametrize(("size_bytes", "used_bytes"), [(0, 0), (1, 4_096), (4_096, 4_096), (4_097, 8_192)])
def test_file_occupies_whole_blocks(size_bytes: int, used_bytes: int) -> None:
    assert on_disk(size_bytes) == used_bytes


def test_file_set_aside_is_renamed_and_its_space_counted(path: Path) -> None:
    (path / "odd").write_bytes(b"x" * 5_000)

    with open_folder(str(path)) as folder:
        set_aside(folder, "odd")

        assert trim_set_aside(folder, 100_000) == 8_192
    assert os.listdir(path) == ["odd.set-aside"]


def test_files_set_aside_are_bounded_in_number_and_the_newest_kept(path: Path) -> None:
    names = [f"{number:02d}{SET_ASIDE_SUFFIX}" for number in range(SET_ASIDE_LIMIT + 3)]
    for name in names:
        (path / name).touch()

    with open_folder(str(path)) as folder:
        trim_set_aside(folder, 1_000_000)

    assert sorted(os.listdir(path)) == names[3:]


def test_files_set_aside_are_bounded_in_bytes_and_the_newest_kept(path: Path) -> None:
    for name in ("a", "b", "c"):
        (path / f"{name}.set-aside").write_bytes(b"x")

    with open_folder(str(path)) as folder:
        assert trim_set_aside(folder, 9_000) == 8_192

    assert sorted(os.listdir(path)) == ["b.set-aside", "c.set-aside"]


def test_files_that_are_not_set_aside_are_neither_counted_nor_removed(path: Path) -> None:
    (path / "other").write_bytes(b"x")

    with open_folder(str(path)) as folder:
        assert trim_set_aside(folder, 0) == 0

    assert os.listdir(path) == ["other"]


def test_file_that_cannot_be_set_aside_is_left_in_place(path: Path) -> None:
    with open_folder(str(path)) as folder:
        set_aside(folder, "gone")

    assert os.listdir(path) == []


def test_file_set_aside_that_cannot_be_removed_is_not_counted(path: Path) -> None:
    (path / "folder.set-aside").mkdir()

    with open_folder(str(path)) as folder:
        assert trim_set_aside(folder, 0) == 0

    assert os.listdir(path) == ["folder.set-aside"]
