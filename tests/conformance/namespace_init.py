"""Process 1 of the namespaces: sets them up like Lambda, starts rotel and AWS's emulator, then obeys commands.

rie.py starts it with the descriptor of a Unix socket and the path of a settings file. Commands and responses are
lines of JSON. When the socket closes, it exits, and the kernel kills everything in the namespaces.
It runs on the bare interpreter, so it uses the standard library only, and it replaces /tmp.
"""

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_EMULATOR = ("127.0.0.1", 8080)
_ROTEL = ("127.0.0.1", 4318)
_COLLECTOR = ("127.0.0.1", 4319)
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
# Programs that take longer hang, on a busy machine, too. Shorter than the limits of rie.py, so that it gets the reason.
_START_LIMIT_S = 40.0
_SHUTDOWN_LIMIT_S = 30.0


def main(socket_fd: int, settings_file: str) -> None:
    settings = json.loads(Path(settings_file).read_text(encoding="utf-8"))
    # Connecting imports this codec, and its folder may be hidden by then.
    "localhost".encode("idna")
    _take_priority()
    _bring_loopback_up()
    _set_up_file_system(settings)
    outside = socket.socket(fileno=socket_fd)
    rotel = _start_rotel(settings["rotel_command"])
    with socket.create_server(_COLLECTOR) as collector:
        # From now on it is served by the test process.
        socket.send_fds(outside, [b"."], [collector.fileno()])
    emulator = _start_emulator(settings)
    _CommandServer(outside, emulator, rotel).serve()


def _take_priority() -> None:
    """Run before the other sessions of a busy machine: AWS's emulator has fixed deadlines of 2 s.

    Among the processes of this session priorities stay as they are: the extension lowers one of its own.
    """
    # https://man7.org/linux/man-pages/man7/sched.7.html: only root may, and not every kernel has it.
    with contextlib.suppress(OSError):
        os.setsid()
        Path("/proc/self/autogroup").write_text("-10")


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def _set_up_file_system(settings: dict[str, Any]) -> None:
    """Replace /opt, /var and /tmp by those of a Lambda. Their sources may be below any of them."""
    new_root = Path("/run")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", new_root)
    for name in ("opt", "var", "outside"):
        (new_root / name).mkdir()
    _mount("--bind", settings["outside"], new_root / "outside")
    _copy(settings["opt"], new_root / "opt")
    for source in settings["extensions"]:
        _copy_file(source, new_root / "opt/extensions" / Path(source).name)
    if settings["recorded_extension"]:
        _wrap_extension(settings["recorded_extension"], settings["exit_recorder"], new_root / "opt")
    for name in ("task", "runtime", "lang", "bin", "outside"):
        (new_root / "var" / name).mkdir()
    for source in settings["task"]:
        _copy(source, new_root / "var/task")
    for name in ("rie", "rotel"):
        (new_root / "var/bin" / name).touch()
        _mount("--bind", settings[name], new_root / "var/bin" / name)
    _mount("--bind", settings["base_prefix"], new_root / "var/lang")
    _mount("--rbind", new_root / "outside", new_root / "var/outside")
    _make_readable(new_root / "opt", new_root / "var/task")
    _mount("--bind", new_root / "opt", "/opt")
    _mount("-o", "remount,ro,bind", "/opt")
    _mount("--rbind", new_root / "var", "/var")
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp")
    os.chdir("/var/task")


def _wrap_extension(name: str, exit_recorder: str, opt: Path) -> None:
    """Let the exit recorder start the extension."""
    (opt / "recorded").mkdir()
    (opt / "extensions" / name).rename(opt / "recorded" / name)
    _copy_file(exit_recorder, opt / "extensions" / name)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _copy(source: str, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _copy_file(source: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    shutil.copy(source, target)
    target.chmod(0o755)


def _make_readable(*trees: Path) -> None:
    """Managed instances run their processes as another user."""
    for tree in trees:
        for path in (tree, *tree.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def _start_rotel(command: list[str]) -> subprocess.Popen[bytes]:
    with open("/var/outside/rotel.log", "wb") as log:
        rotel = subprocess.Popen(command, stdout=log, stderr=log, env={})
    _wait_for_port(_ROTEL, rotel)
    return rotel


def _start_emulator(settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    with open("/var/outside/rie.log", "wb") as log:
        emulator = subprocess.Popen(settings["rie_command"], stdout=log, stderr=log, env=settings["env"])
    _wait_for_port(_EMULATOR, emulator)
    return emulator


def _wait_for_port(address: tuple[str, int], process: subprocess.Popen[bytes]) -> None:
    """Neither program reports when it listens."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            time.sleep(0.005)
        else:
            return
    raise SystemExit(f"{process.args!r} does not listen, exit status {process.returncode}")


class _CommandServer:
    """Runs each command of the test process on a thread of its own, so invocations can overlap."""

    def __init__(
        self, outside: socket.socket, emulator: subprocess.Popen[bytes], rotel: subprocess.Popen[bytes]
    ) -> None:
        self._emulator = emulator
        self._rotel = rotel
        self._commands = outside.makefile("r", encoding="utf-8")
        self._responses = outside.makefile("w", encoding="utf-8")
        self._writing = threading.Lock()

    def serve(self) -> None:
        for line in self._commands:
            threading.Thread(target=self._run, args=(json.loads(line),), daemon=True).start()

    def _run(self, command: dict[str, Any]) -> None:
        number, name = command.pop("number"), command.pop("name")
        try:
            response = {"number": number, "value": getattr(self, name)(**command)}
        except Exception as exc:  # noqa: BLE001  # whatever it is, the test has to see it
            response = {"number": number, "error": repr(exc)}
        with self._writing:
            self._responses.write(json.dumps(response) + "\n")
            self._responses.flush()

    def invoke(self, body: str, headers: dict[str, str]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(*_EMULATOR)
        connection.request("POST", "/2015-03-31/functions/function/invocations", body.encode(), headers)
        response = connection.getresponse()
        return {"status": response.status, "body": response.read().decode()}

    def terminate(self) -> dict[str, Any]:
        """End the emulator as Lambda ends an environment; return what it left behind."""
        terminated_unix_s = time.time()
        self._emulator.send_signal(signal.SIGTERM)
        exit_status = self._emulator.wait(_SHUTDOWN_LIMIT_S)
        ended_unix_s = time.time()
        left = {"left_processes": self._processes(), "left_files": _files_under("/tmp")}
        # Before it ends, it forwards what it received.
        self._rotel.send_signal(signal.SIGTERM)
        self._rotel.wait(_SHUTDOWN_LIMIT_S)
        return {
            "exit_status": exit_status,
            "terminated_unix_s": terminated_unix_s,
            "ended_unix_s": ended_unix_s,
            **left,
        }

    def _processes(self) -> list[str]:
        own = {str(os.getpid()), str(self._rotel.pid)}
        pids = {name for name in os.listdir("/proc") if name.isdigit()} - own
        return sorted(filter(None, map(_command_line, pids)))


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _files_under(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).rglob("*") if not path.is_dir())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
