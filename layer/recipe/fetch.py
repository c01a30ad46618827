"""Downloads pinned files into a cache and checks their SHA-256: wheels with pip, Debian packages directly."""

import hashlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .pins import Deb, Stdlib, Wheel

# Newest first. Each tag is listed, because pip does not derive the older ones from the newer.
_PLATFORMS = {
    "x86_64": ("manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "arm64": ("manylinux_2_17_aarch64", "manylinux2014_aarch64"),
}
# Where a package is while its suite is current, when the suite is archived, and permanently.
_DEBIAN_MIRRORS = (
    "https://deb.debian.org/debian/{path}",
    "https://archive.debian.org/debian/{path}",
    "https://snapshot.debian.org/file/{sha1}",
)
_TIMEOUT_S = 30


class FetchError(Exception):
    """A pinned file is not available, or is not the one that was pinned."""


def debian_mirrors() -> tuple[str, ...]:
    """Return the mirrors that the variable DEBIAN_MIRRORS lists, or else Debian's own, as templates of URLs."""
    wanted = os.environ.get("DEBIAN_MIRRORS", "").split()
    return tuple(f"{mirror.rstrip('/')}/{{path}}" for mirror in wanted) or _DEBIAN_MIRRORS


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wheels(pinned: Iterable[Wheel], *, arch: str, python: str, cache: Path) -> list[Path]:
    """Return the files of *pinned* for *arch*, downloading those that are not in the cache."""
    requested = list(pinned)
    folder = cache / f"wheels-{arch}"
    folder.mkdir(parents=True, exist_ok=True)
    cached = _by_hash(folder)
    missing = [wheel for wheel in requested if wheel.hash_for(arch) not in cached]
    if missing:
        _download(missing, arch=arch, python=python, folder=folder)
        cached = _by_hash(folder)
    return [cached[wheel.hash_for(arch)] for wheel in requested]


def pip_target(arch: str, python: str) -> Iterator[str]:
    """Yield the options that make pip resolve for the layer instead of this machine."""
    yield from ("--only-binary=:all:", "--implementation=cp", f"--python-version={python}")
    yield from (f"--platform={platform}" for platform in _PLATFORMS[arch])


def deb(pinned: Deb, *, cache: Path, mirrors: Sequence[str] | None = None) -> Path:
    """Return the file of *pinned* from the cache, or from the first mirror that has it."""
    path = cache / "debs" / f"{pinned.name}_{pinned.sha256[:16]}.deb"
    if path.exists() and sha256_of(path) == pinned.sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    for mirror in debian_mirrors() if mirrors is None else mirrors:
        url = mirror.format(path=pinned.path, sha1=pinned.sha1)
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
                content = response.read()
        except OSError as exc:
            reasons.append(f"{url}: {exc}")
            continue
        if hashlib.sha256(content).hexdigest() != pinned.sha256:
            reasons.append(f"{url}: not the pinned file")
            continue
        path.write_bytes(content)
        return path
    raise FetchError(f"{pinned.name} {pinned.version} is not available:\n  " + "\n  ".join(reasons))


def stdlib(pinned: Sequence[Stdlib], *, cache: Path, mirrors: Sequence[str] | None = None) -> Stdlib:
    """Download the first standard library that is available: Debian's mirrors remove old versions."""
    for candidate in pinned:
        try:
            for part in candidate.debs:
                deb(part, cache=cache, mirrors=mirrors)
        except FetchError as exc:
            print(f"WARNING: {exc}\nWARNING: the layer will differ from one with the preferred version")
        else:
            return candidate
    raise FetchError("no pinned standard library is available: run layer/lock.py, or use --python DIR")


def _by_hash(folder: Path) -> dict[str, Path]:
    return {sha256_of(path): path for path in sorted(folder.glob("*.whl"))}


def _download(missing: list[Wheel], *, arch: str, python: str, folder: Path) -> None:
    lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.hash_for(arch)}\n" for wheel in missing]
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(lines))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    target = [*pip_target(arch, python), "--dest", str(folder), "--requirement", str(requirements)]
    if subprocess.run([*pip, *target], check=False).returncode:
        raise FetchError(f"pip could not download the pinned wheels for {arch}")
