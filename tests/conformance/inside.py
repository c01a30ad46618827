"""Process 1 of the namespaces: makes them look like Lambda, starts rotel and AWS's emulator, does as it is told.

Started by rie.py with a file descriptor of a Unix socket and the path of a file of settings. It answers one line
of JSON with one line of JSON; when the socket closes it ends, and everything in the namespaces with it.
Nothing but the standard library: it runs on the bare interpreter, and /tmp is replaced under its feet.
"""

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
# The extensions get 2 s, the runtime 0.6 s of them; an emulator that takes longer than this hangs.
_SHUTDOWN_LIMIT_S = 10.0


def main(socket_fd: int, settings_file: str) -> None:
    settings = json.loads(Path(settings_file).read_text(encoding="utf-8"))
    # Connecting imports this codec, perhaps from a folder that is hidden by then.
    "localhost".encode("idna")
    _bring_loopback_up()
    _furnish(settings)
    outside = socket.socket(fileno=socket_fd)
    rotel = _start_rotel(settings["rotel_command"])
    with socket.create_server(_COLLECTOR) as collector:
        # From now on it is served from outside.
        socket.send_fds(outside, [b"."], [collector.fileno()])
    emulator = _start_emulator(settings)
    _Orders(outside, emulator, rotel).follow()


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def _furnish(settings: dict[str, Any]) -> None:
    """Make /opt, /var and /tmp those of a Lambda; what comes from outside may lie under any of them."""
    room = Path("/run")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", room)
    for name in ("opt", "var", "outside"):
        (room / name).mkdir()
    _mount("--bind", settings["outside"], room / "outside")
    _copy(settings["opt"], room / "opt")
    for source in settings["extensions"]:
        _copy_file(source, room / "opt/extensions" / Path(source).name)
    if settings["witnessed"]:
        _put_witness(settings["witness"], settings["witnessed"], room / "opt")
    for name in ("task", "runtime", "lang", "bin", "outside"):
        (room / "var" / name).mkdir()
    for source in settings["task"]:
        _copy(source, room / "var/task")
    for name in ("rie", "rotel"):
        (room / "var/bin" / name).touch()
        _mount("--bind", settings[name], room / "var/bin" / name)
    _mount("--bind", settings["base_prefix"], room / "var/lang")
    _mount("--rbind", room / "outside", room / "var/outside")
    _open_to_all(room / "opt", room / "var/task")
    _mount("--bind", room / "opt", "/opt")
    _mount("-o", "remount,ro,bind", "/opt")
    _mount("--rbind", room / "var", "/var")
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp")
    os.chdir("/var/task")


def _put_witness(witness: str, name: str, opt: Path) -> None:
    (opt / "witnessed").mkdir()
    (opt / "extensions" / name).rename(opt / "witnessed" / name)
    _copy_file(witness, opt / "extensions" / name)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _copy(source: str, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _copy_file(source: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    shutil.copy(source, target)
    target.chmod(0o755)


def _open_to_all(*trees: Path) -> None:
    """Managed instances run their processes as a user of their own."""
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
    """Neither program says when it listens."""
    while process.poll() is None:
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            time.sleep(0.005)
        else:
            return
    raise SystemExit(f"{process.args!r} ended with {process.returncode}")


class _Orders:
    """What the outside may ask for, one thread for each order: invocations may overlap."""

    def __init__(
        self, outside: socket.socket, emulator: subprocess.Popen[bytes], rotel: subprocess.Popen[bytes]
    ) -> None:
        self._emulator = emulator
        self._rotel = rotel
        self._orders = outside.makefile("r", encoding="utf-8")
        self._answers = outside.makefile("w", encoding="utf-8")
        self._writing = threading.Lock()

    def follow(self) -> None:
        for line in self._orders:
            threading.Thread(target=self._follow, args=(json.loads(line),), daemon=True).start()

    def _follow(self, order: dict[str, Any]) -> None:
        number, name = order.pop("number"), order.pop("name")
        try:
            answer = {"number": number, "value": getattr(self, name)(**order)}
        except Exception as exc:
            answer = {"number": number, "error": repr(exc)}
        with self._writing:
            self._answers.write(json.dumps(answer) + "\n")
            self._answers.flush()

    def invoke(self, body: str, headers: dict[str, str]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(*_EMULATOR)
        connection.request("POST", "/2015-03-31/functions/function/invocations", body.encode(), headers)
        response = connection.getresponse()
        return {"status": response.status, "body": response.read().decode()}

    def terminate(self) -> dict[str, Any]:
        """End the emulator as Lambda ends an environment, and say what it leaves behind."""
        asked_unix_s = time.time()
        self._emulator.send_signal(signal.SIGTERM)
        exit_status = self._emulator.wait(_SHUTDOWN_LIMIT_S)
        ended_unix_s = time.time()
        left = {"left_processes": self._processes(), "left_files": _files_under("/tmp")}
        # It passes on what it has taken in before it ends.
        self._rotel.send_signal(signal.SIGTERM)
        self._rotel.wait(_SHUTDOWN_LIMIT_S)
        return {
            "exit_status": exit_status,
            "asked_unix_s": asked_unix_s,
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
