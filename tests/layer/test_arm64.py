"""Runs the other architecture's layer under qemu-user, with everything else native: on x86_64 that of arm64."""

import os
import shutil
from pathlib import Path

import pytest

from layer.recipe import debian, fetch, pins
from tests.emulator import Lambda
from tests.support.certificates import issue_certificates
from tests.support.collector import FakeCollector
from tests.support.layer_build import CACHE, build, layer_sources, unpack
from tests.support.paths import PROJECT

__all__ = ["layer_sources"]

_FOREIGN, _QEMU = (
    ("x86_64", "qemu-x86_64-static") if os.uname().machine == "aarch64" else ("arm64", "qemu-aarch64-static")
)
_WRAPPER = """#!/bin/sh
exec {qemu} -L {root} {opt}/telemetry-forwarder/interpreter telemetry-forwarder
"""


@pytest.fixture
def foreign_root(tmp_path: Path) -> Path:
    """Unpack the other architecture's glibc 2.31 and nothing else."""
    root = tmp_path / "root"
    for pinned in pins.read(PROJECT / "layer" / "lock.toml").debs["test"][_FOREIGN]:
        if pinned.name == "libc6":
            with debian.open_contents(fetch.deb(pinned, cache=CACHE)) as archive:
                archive.extractall(root, filter="tar")
    return root


def test_other_architecture_registers_subscribes_and_delivers_over_tls(
    layer_sources: Path, foreign_root: Path, tmp_path: Path
) -> None:
    qemu = shutil.which(_QEMU)
    if qemu is None:
        pytest.skip(f"NOT TESTED for {_FOREIGN}: there is no {_QEMU} (apt install qemu-user-static)")
    layer = unpack(build(layer_sources, _FOREIGN), tmp_path / "layer")
    opt = tmp_path / "opt"
    (opt / "extensions").mkdir(parents=True)
    wrapper = opt / "extensions" / "telemetry-forwarder"
    wrapper.write_text(_WRAPPER.format(qemu=qemu, root=foreign_root, opt=layer))
    wrapper.chmod(0o755)
    certificates = issue_certificates(tmp_path)

    with FakeCollector(tls=certificates.server) as collector:
        env = {
            "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
            "TELEMETRY_FORWARDER_CERTIFICATE": certificates.ca,
            # Under emulation the imports take seconds.
            "TELEMETRY_FORWARDER_WARM_UP": "init",
        }
        task = PROJECT / "tests" / "functions"
        with Lambda(opt=opt, task=task, env=env, memory_mb=1769, timeout_s=60, init_timeout_s=60) as function:
            response = function.invoke({"say": "hello from the other side"})
            (exit_,) = function.shutdown()

        bodies = [record.body.string_value for _, _, record in collector.logs()]
    assert response.is_success
    assert (exit_.code, exit_.killed) == (0, False)
    assert any("hello from the other side" in body for body in bodies)
