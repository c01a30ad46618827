"""An `/opt` as Lambda mounts it: owned by root and read-only, for an extension that runs as another user."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def read_only_copy(tree: Path) -> Iterator[Path]:
    """Yield a copy of *tree* that nobody may write to, on a read-only mount where mounting is permitted.

    Files that another user cannot read in *tree* cannot be read in the copy.
    """
    # Not below a folder with the mode 0700, as `mkdtemp` makes it: the other user has to reach the files.
    folder = Path(tempfile.mkdtemp(prefix="opt-"))
    folder.chmod(0o755)
    copy = folder / "opt"
    shutil.copytree(tree, copy, symlinks=True)
    # The folder itself is Lambda's.
    copy.chmod(0o755)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    is_mounted = _mount("--bind", str(copy), str(copy)) and _mount("-o", "remount,bind,ro", str(copy))
    try:
        yield copy
    finally:
        if is_mounted:
            subprocess.run(["umount", str(copy)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def _mount(*arguments: str) -> bool:
    try:
        return not subprocess.run(["mount", *arguments], capture_output=True).returncode
    except FileNotFoundError:
        return False
