"""Runs the layer in a root file system with only an old glibc, a shell, AWS's emulator and a function in bash.

This file is also a program: `python test_old_glibc.py FD SETTINGS` is process 1 of the namespaces, runs one managed
instance in its own root, and prints the result.
"""

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_INVOCATIONS = 3
_START_LIMIT_S = 120.0
# Uses the Runtime API through bash's own sockets, because there is no other program.
_FUNCTION = r"""#!/bin/bash
call() {
    exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/:/\/}"
    printf '%s /2018-06-01/runtime/invocation/%s HTTP/1.1\r\nHost: lambda\r\nConnection: close\r\n' "$1" "$2" >&3
    printf 'Content-Length: %s\r\n\r\n%s' "${#3}" "$3" >&3
    while IFS= read -r line <&3; do
        line=${line%$'\r'}
        case ${line,,} in
            lambda-runtime-aws-request-id:*) id=${line#*: } ;;
            '') break ;;
        esac
    done
    exec 3>&-
}
echo "user $UID"
while call GET next ''; do
    echo "a line of $id"
    call POST "$id/response" '"done"'
done
"""


def main(socket_fd: int, settings_file: str) -> None:
    settings = json.loads(Path(settings_file).read_text())
    outside = socket.socket(fileno=socket_fd)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS, IFF_UP: a new network namespace has its loopback down.
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))
    with socket.create_server(("127.0.0.1", 4318)) as collector:
        socket.send_fds(outside, [b"."], [collector.fileno()])
    root = Path(settings["root"])
    _mount_root(root, settings)

    def enter_root() -> None:
        os.chroot(root)
        os.chdir("/var/task")

    with open(settings["log"], "wb") as log:
        emulator = subprocess.Popen(
            ["/var/bin/rie", "--log-level", "debug", "--runtime-interface-emulator-address", "127.0.0.1:8080"],
            stdout=log,
            stderr=log,
            env=settings["env"],
            preexec_fn=enter_root,  # noqa: PLW1509  # this process has no other thread then
        )
    answers = [_invoke() for _ in range(_INVOCATIONS)]
    # Until the collector has received something: on a busy machine the extension may still be importing.
    outside.recv(1)
    emulator.send_signal(signal.SIGTERM)
    print(json.dumps({"answers": answers, "exit_status": emulator.wait(30)}))


def _mount_root(root: Path, settings: dict[str, Any]) -> None:
    for folder in ("opt", "proc", "dev", "tmp", "var/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "var/bin/rie").touch()
    _mount("--bind", settings["rie"], root / "var/bin/rie")
    _mount("--bind", settings["opt"], root / "opt")
    _mount("-o", "remount,ro,bind", root / "opt")
    _mount("-t", "proc", "proc", root / "proc")
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp")
    for device in ("null", "urandom"):
        (root / "dev" / device).touch()
        _mount("--bind", f"/dev/{device}", root / "dev" / device)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _invoke() -> list[Any]:
    """Return status and body. The emulator does not report when it is ready, so retry until then."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", 8080)
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", b"{}")
        except ConnectionRefusedError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)
            continue
        response = connection.getresponse()
        body = response.read().decode()
        # The only worker has not requested its next invocation yet.
        if "Runtime.Unavailable" not in body:
            return [response.status, body]


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
    sys.exit()

# Process 1 runs on the bare interpreter, without these modules.
import pytest  # noqa: E402

from layer.recipe import debian, fetch, pins, portability  # noqa: E402
from tests.conformance.namespaces import process_in_namespaces  # noqa: E402
from tests.conformance.requirements import missing, rie_binary  # noqa: E402
from tests.conformance.rie import UNHURRIED_TELEMETRY  # noqa: E402
from tests.support.certificates import issue_certificates  # noqa: E402
from tests.support.collector import FakeCollector  # noqa: E402
from tests.support.layer_build import CACHE, layer_opt, layer_sources, layer_zip  # noqa: E402
from tests.support.paths import PROJECT  # noqa: E402

__all__ = ["layer_opt", "layer_sources", "layer_zip"]

_NATIVE = "arm64" if os.uname().machine == "aarch64" else "x86_64"


@pytest.fixture
def bare_root(tmp_path: Path) -> Path:
    """Unpack Debian bullseye's glibc 2.31 and two shells: no Python, no OpenSSL, no zlib, no libstdc++."""
    if reason := missing("managed-instances"):
        pytest.skip(f"NOT TESTED on an old glibc: {reason}")
    root = tmp_path / "root"
    root.mkdir()
    for pinned in pins.read(PROJECT / "layer" / "lock.toml").debs["test"][_NATIVE]:
        with debian.open_contents(fetch.deb(pinned, cache=CACHE)) as archive:
            archive.extractall(root, filter="tar")
    if not (root / "bin/sh").exists():
        # Created by a maintainer script of Debian.
        (root / "bin/sh").symlink_to("dash")
    task = root / "var/task"
    task.mkdir(parents=True)
    (task / "bootstrap").write_text(_FUNCTION)
    (task / "bootstrap").chmod(0o755)
    (root / "var/runtime").mkdir()
    return root


@contextmanager
def run_instance(
    root: Path, opt: Path, *, env: dict[str, str], **collecting: Any
) -> Iterator[tuple[Any, FakeCollector]]:
    """Run one instance with the layer in *root*; yield the output of process 1 and the collector."""
    settings, log = root.parent / "settings.json", root.parent / "rie.log"
    settings.write_text(
        json.dumps(
            {"root": str(root), "opt": str(opt), "rie": str(rie_binary()), "log": str(log), "env": {**_ENV, **env}}
        )
    )
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-IS", __file__, str(theirs.fileno()), str(settings)]
    options: dict[str, Any] = {"pass_fds": [theirs.fileno()], "stdout": subprocess.PIPE, "text": True}
    with ours, theirs, process_in_namespaces(command, as_user=False, **options) as process:
        ours.settimeout(_START_LIMIT_S)
        _, descriptors, _, _ = socket.recv_fds(ours, 1, maxfds=1)
        collector = FakeCollector(listener=socket.socket(fileno=descriptors[0]), **collecting)
        if collector._tls:
            # A client without TLS 1.3 is refused.
            collector._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        with collector:
            collector.wait_for(lambda: collector.requests, timeout_s=_START_LIMIT_S)
            ours.send(b".")
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, log.read_text()
            yield json.loads(output), collector


_ENV = {
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/task:/opt/lib",
    "AWS_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "5",
    "AWS_LAMBDA_FUNCTION_HANDLER": "bash",
    "AWS_LAMBDA_MAX_CONCURRENCY": "1",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
    **UNHURRIED_TELEMETRY,
    "TELEMETRY_FORWARDER_FLUSH": "every 1 s",
    "HOME": "/home/nobody",
}


def test_root_contains_no_other_libraries(bare_root: Path) -> None:
    libraries = {path.name for path in portability.elf_files(bare_root) if ".so" in path.name}

    assert not {name for name in libraries if name.startswith(("libz", "libssl", "libcrypt-", "libstdc++"))}
    assert not list(bare_root.rglob("python*"))
    assert (bare_root / "lib" / f"{os.uname().machine}-linux-gnu" / "libc-2.31.so").exists()


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["http", "tls"])
def test_telemetry_is_exported_with_only_an_old_glibc(
    bare_root: Path, layer_opt: Path, tmp_path: Path, is_encrypted: bool
) -> None:
    collecting: dict[str, Any] = {}
    env = {"TELEMETRY_FORWARDER_ENDPOINT": "http://127.0.0.1:4318"}
    if is_encrypted:
        certificates = issue_certificates(tmp_path)
        (bare_root / "var/task/ca.pem").write_bytes(Path(certificates.ca).read_bytes())
        collecting = {"tls": certificates.server}
        env = {
            "TELEMETRY_FORWARDER_ENDPOINT": "https://127.0.0.1:4318",
            "TELEMETRY_FORWARDER_CERTIFICATE": "/var/task/ca.pem",
        }

    with run_instance(bare_root, layer_opt, env=env, **collecting) as (result, collector):
        assert_telemetry_is_exported(result, collector)


def assert_telemetry_is_exported(result: Any, collector: FakeCollector) -> None:
    bodies = [record.body.string_value for _, _, record in collector.logs()]

    assert result == {"answers": [[200, '"done"']] * _INVOCATIONS, "exit_status": 0}
    assert sum(body.startswith("a line of ") for body in bodies) == _INVOCATIONS
    assert len(collector.spans()) >= _INVOCATIONS
    assert collector.metrics()
    # The user of all processes in managed instances.
    assert "user 993" in bodies


def test_settings_of_the_function_do_not_affect_the_extension(bare_root: Path, layer_opt: Path, tmp_path: Path) -> None:
    """The emulator provides a read-only /opt and a user without a home."""
    opt = tmp_path / "opt"
    shutil.copytree(layer_opt, opt)
    (opt / "lib").mkdir()
    for library in (opt / "telemetry-forwarder" / "lib").glob("lib*.so*"):
        (opt / "lib" / library.name).write_text("not a library")
    task = bare_root / "var/task"
    for name in ("json", "socket", "encodings", "sitecustomize", "opentelemetry", "orjson"):
        (task / f"{name}.py").write_text("raise SystemExit('a file of the function was imported')")
    nowhere = "http://127.0.0.1:1"
    env = {
        "TELEMETRY_FORWARDER_ENDPOINT": "http://127.0.0.1:4318",
        **dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"), "/var/task"),
        **dict.fromkeys(("PYTHONSTARTUP", "PYTHONMALLOC", "PYTHONWARNINGS"), "/var/task/json.py"),
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), nowhere),
        "SSL_CERT_FILE": "/nowhere",
    }

    with run_instance(bare_root, opt, env=env) as (result, collector):
        assert_telemetry_is_exported(result, collector)
