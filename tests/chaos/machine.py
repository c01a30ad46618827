"""Scenarios in which the disk fails."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.run import Run
from tests.chaos.sandbox import EXTENSION
from tests.chaos.scenario import Scenario
from tests.support.thread_limit import no_room_for_stacks

NO_ROOM = frozenset({"not spooled"})


@contextmanager
def _disk(folder: Path, options: str) -> Iterator[bool]:
    """Mount a separate file system at *folder*; yield False if that is not permitted."""
    folder.mkdir(parents=True)
    is_mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
        ).returncode
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _full(run: Run) -> None:
    _without_a_spool(run, "size=1m")


def _read_only(run: Run) -> None:
    _without_a_spool(run, "ro")


def _without_a_spool(run: Run, options: str) -> None:
    disk = run.spool_dir.parent / "disk"
    with _disk(disk, options) as is_mounted:
        if not is_mounted:
            disk.chmod(0o500)
        run.spool_dir = disk / "telemetry-forwarder"
        run.collector.refuse()
        with run.environment():
            run.invoke()
            if is_up_again := run.random.random() < 0.6:
                run.collector.listen()
            run.invoke(sleep=0.1)
        # If the endpoint is back, nothing needs the disk.
        assert is_up_again or not run.on_disk()
        if not is_mounted:
            disk.chmod(0o700)


def _damaged(run: Run) -> None:
    run.collector.refuse()
    with run.environment():
        for _ in range(3):
            run.invoke()
    files = sorted(run.spool_dir.iterdir())
    logs = [path for path in files if "-logs-" in path.name]
    before = run.on_disk()
    _damage(run, logs[0])
    run.excused = before - run.on_disk()
    (run.spool_dir / "something else").write_text("not ours")
    run.collector.listen()
    with run.environment():
        run.invoke()
        run.invoke()


def _damage(run: Run, path: Path) -> None:
    content = bytearray(path.read_bytes())
    match run.random.choice(["cut", "flip", "empty", "part", "folder"]):
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "flip":
            content[run.random.randrange(len(content))] ^= 0xFF
            path.write_bytes(content)
        case "empty":
            path.write_bytes(b"")
        case "part":
            path.write_bytes(content[:20])
            path.rename(path.with_name(path.name + ".part"))
        case "folder":
            path.unlink()
            path.mkdir()


def _no_threads(run: Run) -> None:
    """Let no thread start for a while: not those that send, and with a host name not the one that resolves it."""
    name = run.random.choice(["127.0.0.1", "localhost"])
    endpoint = f"http://{name}:{run.collector.port}"
    with run.environment({"TELEMETRY_FORWARDER_ENDPOINT": endpoint}) as function:
        if run.random.random() < 0.3:
            run.invoke()
        with no_room_for_stacks(function.pids()[EXTENSION]):
            for _ in range(run.random.randint(1, 3)):
                run.invoke()
        run.invoke()


def _silent_file(run: Run) -> None:
    """Let a file for TLS be a named pipe that nobody writes to."""
    pipe = run.spool_dir.parent / "pipe.pem"
    pipe.parent.mkdir(parents=True, exist_ok=True)
    # As /tmp: the extension may run as another user.
    pipe.parent.chmod(0o1777)
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    names = ("TELEMETRY_FORWARDER_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "SSL_CERT_FILE")
    name = run.random.choice(names)
    files = {name: str(pipe), "TELEMETRY_FORWARDER_ENDPOINT": f"https://127.0.0.1:{run.collector.port}"}
    with run.environment(files) as function:
        for _ in range(3):
            run.invoke()
    assert any(f"{name}: " in line for line in function.extension_output)
    assert run.on_disk()
    with run.environment():
        run.invoke()
    assert not run.on_disk()


MACHINE = (
    Scenario("/tmp full", "the disk is full and the endpoint down, for a while or throughout", _full, NO_ROOM),
    Scenario("/tmp read-only", "nothing can be written", _read_only, NO_ROOM),
    Scenario("silent file", "the file of a certificate never answers", _silent_file),
    Scenario("no threads", "for a while no thread can be started", _no_threads),
    Scenario("spool damaged", "a file of the spool is cut, changed, empty or a folder", _damaged, frozenset()),
)
