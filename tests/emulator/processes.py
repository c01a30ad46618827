"""Real processes: each in a process group of its own, watched until it exits, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .output import Frames, Lines, Output, Sink

# Reads process ids until its input closes, then kills their process groups.
_REAPER = 'groups=; while read -r pid; do groups="$groups -$pid"; done; kill -KILL -- $groups'


class Reaper:
    """A helper process that kills the processes of a sandbox if this process dies before `close`."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            ["/bin/sh", "-c", _REAPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Out of reach of a Ctrl-C on the terminal.
            process_group=0,
        )

    def add(self, pid: int) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(b"%d\n" % pid)
        self._popen.stdin.flush()

    def close(self) -> None:
        """End the helper without killing anything."""
        self._popen.kill()
        # Only afterwards: closing its input is what makes it kill.
        self._popen.wait()
        assert self._popen.stdin is not None
        self._popen.stdin.close()


class Process:
    """One started program. When it exits, `exited` is set and *on_exit* is called once."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: dict[str, str],
        cwd: Path,
        output: Output,
        sink: Sink,
        is_framed: bool = False,
        user: int | None = None,
        on_exit: Callable[[Process], None],
    ) -> None:
        self.name = name
        self.exited = threading.Event()
        self.exited_s: float | None = None
        self.was_killed = False
        self._on_exit, self._output = on_exit, output
        streams = [os.pipe(), os.pipe()]
        frames = os.pipe() if is_framed else None
        if frames:
            env = {**env, "_LAMBDA_TELEMETRY_LOG_FD": str(frames[1])}
        try:
            self._popen = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=streams[0][1],
                stderr=streams[1][1],
                pass_fds=[frames[1]] if frames else [],
                process_group=0,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        except OSError:
            for pipe in [*streams, *([frames] if frames else [])]:
                os.close(pipe[0])
            raise
        finally:
            for pipe in [*streams, *([frames] if frames else [])]:
                os.close(pipe[1])
        for pipe in streams:
            output.add(pipe[0], Lines(sink))
        if frames:
            output.add(frames[0], Frames(sink))
        self._watcher = threading.Thread(target=self._watch, name=f"watch-{name}")

    def watch(self) -> None:
        """Begin to report the exit. Call it once the owner has stored this object."""
        self._watcher.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.returncode if self.exited.is_set() else None

    @property
    def cause(self) -> str:
        """The exit in the words of Lambda's messages: ``exit status 1``, ``signal: killed``."""
        code = self._popen.returncode
        if code is None or code >= 0:
            return f"exit status {code}"
        return f"signal: {_SIGNAL_WORDS.get(signal.Signals(-code), signal.Signals(-code).name)}"

    def signal(self, number: int) -> None:
        """Signal the whole process group, if it still exists."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        self.was_killed = not self.exited.is_set()
        self.signal(signal.SIGKILL)

    def join(self) -> None:
        """Wait until the exit was reported."""
        self._watcher.join()

    def _watch(self) -> None:
        self._popen.wait()
        self.exited_s = time.monotonic()
        self._output.pump()
        self.exited.set()
        self._on_exit(self)


_SIGNAL_WORDS = {
    signal.SIGKILL: "killed",
    signal.SIGTERM: "terminated",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
}
