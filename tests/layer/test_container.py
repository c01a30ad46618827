"""Builds container images with the layer in them by buildah, which needs no daemon, and starts the extension there.

The images in the place of Lambda's are made here: one with glibc and a shell, and one with a shell only.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from layer.recipe import debian, fetch, pins
from tests.support.layer_build import CACHE, layer_sources, layer_zip
from tests.support.paths import LAYER, PROJECT

__all__ = ["layer_sources", "layer_zip"]

_NATIVE = "arm64" if os.uname().machine == "aarch64" else "x86_64"
_STORAGE = '[storage]\ndriver = "vfs"\ngraphroot = "{folder}/images"\nrunroot = "{folder}/run"\n'
_SHELL = 'FROM scratch\nENV PATH="/bin"\n'

Buildah = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """Return a function that runs buildah, with images of its own: `glibc`, `no-glibc` and `unpack`."""
    busybox = shutil.which("busybox")
    if not shutil.which("buildah") or not busybox or os.geteuid():
        pytest.skip("NOT TESTED in a container image: needs root, buildah and busybox-static")
    folder = tmp_path_factory.mktemp("buildah")
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
    env = {**os.environ, "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"), "BUILDAH_ISOLATION": "chroot"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["buildah", *arguments], capture_output=True, text=True, env=env)

    for name in ("unpack", "no-glibc", "glibc"):
        (folder / name / "bin").mkdir(parents=True)
        shutil.copy(busybox, folder / name / "bin" / "busybox")
    for tool in ("sh", "unzip", "mkdir", "uname"):
        (folder / "unpack" / "bin" / tool).symlink_to("busybox")
    (folder / "no-glibc" / "bin" / "sh").symlink_to("busybox")
    _unpack_glibc(folder / "glibc")
    for name in ("unpack", "no-glibc", "glibc"):
        (folder / name / "Dockerfile").write_text(f"{_SHELL}COPY . /\n")
        run("build", "--quiet", "--tag", name, str(folder / name))
    # Not where containers may not be run here, or with a busybox that needs libraries.
    done = run("run", run("from", "localhost/unpack").stdout.strip(), "--", "/bin/sh", "-c", "exit")
    if done.returncode:
        pytest.skip(f"NOT TESTED in a container image: {done.stderr}")
    return run


def _unpack_glibc(root: Path) -> None:
    for pinned in pins.read(LAYER / "lock.toml").debs["test"][_NATIVE]:
        with debian.open_contents(fetch.deb(pinned, cache=CACHE)) as archive:
            archive.extractall(root, filter="tar")
    if not (root / "bin/sh").exists():
        (root / "bin/sh").symlink_to("dash")


@pytest.fixture(scope="module")
def context(layer_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create what is sent to the builder of a checkout."""
    folder = tmp_path_factory.mktemp("context")
    shutil.copytree(LAYER, folder / "layer", ignore=shutil.ignore_patterns("dist", "__pycache__"))
    (folder / "layer" / "dist").mkdir()
    shutil.copy(layer_zip, folder / "layer" / "dist")
    shutil.copy(PROJECT / ".dockerignore", folder)
    return str(folder)


def build(buildah: Buildah, context: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Build layer/Dockerfile as ./build.sh image does."""
    common = ("--build-arg", "UNPACK=localhost/unpack", "--file", f"{context}/layer/Dockerfile", context)
    return buildah("build", *options, *common)


def start(buildah: Buildah, image: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    container = buildah("from", f"localhost/{image}").stdout.strip()
    return buildah("run", container, "--", "/opt/extensions/telemetry-forwarder", *arguments)


def test_extension_runs_in_an_image_with_glibc(buildah: Buildah, context: str) -> None:
    built = build(buildah, context, "--build-arg", "BASE=localhost/glibc", "--tag", "observed")

    done = start(buildah, "observed", "check", "--help")

    assert built.returncode == 0, built.stderr
    assert (done.returncode, done.stdout.split()[:1]) == (0, ["usage:"]), done


def test_build_of_an_image_without_glibc_stops_with_the_reason(buildah: Buildah, context: str) -> None:
    built = build(buildah, context, "--build-arg", "BASE=localhost/no-glibc", "--tag", "broken")

    assert built.returncode != 0
    assert "telemetry-forwarder needs glibc, and this base image has none (is it Alpine?)" in built.stderr


def test_extension_that_is_copied_into_an_image_without_glibc_says_so(buildah: Buildah, context: str) -> None:
    """By the example of a whole function, from the image that has only the layer."""
    layer = build(buildah, context, "--target", "layer", "--tag", "telemetry-forwarder")
    example = str(LAYER / "examples" / "image")
    built = buildah("build", "--build-arg", "BASE=localhost/no-glibc", "--tag", "orders", example)

    done = start(buildah, "orders")

    assert (layer.returncode, built.returncode) == (0, 0), layer.stderr + built.stderr
    assert done.returncode == 1
    assert done.stderr.startswith("[telemetry-forwarder] ERROR there is no glibc here (/lib")
    assert "not found" not in done.stderr
