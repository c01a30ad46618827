"""Runs a command as process 1 of new Linux namespaces, and kills everything in them on leaving."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

IS_ROOT = os.geteuid() == 0


def unshare_command(*, as_user: bool) -> list[str]:
    """Return the command that runs another one in new namespaces; *as_user* without the help of root.

    Process 1 dies with the command, and the command with the thread that started it.
    """
    dies_with_parent = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    user = ["-Ur"] if as_user else []
    return [*dies_with_parent, "unshare", *user, "-mnpf", "--mount-proc", "--kill-child"]


@contextmanager
def process_in_namespaces(command: Sequence[str], *, as_user: bool, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run *command* in new namespaces; *options* are those of `Popen`. On leaving, nothing survives."""
    process: subprocess.Popen[Any] = subprocess.Popen([*unshare_command(as_user=as_user), *command], **options)
    try:
        yield process
    finally:
        # With it the kernel kills process 1, and with that everything in the namespaces.
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
