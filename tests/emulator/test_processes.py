"""Processes do not outlive the emulator, not even if it is killed."""

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.emulator.scripted_extension import write_extension
from tests.support.paths import FUNCTIONS, PROJECT
from tests.support.waiting import is_dead, wait_until

KILLED = """
import json, os, signal, sys
from tests.emulator import Lambda

lam = Lambda(opt=sys.argv[1], task=sys.argv[2])
lam.start()
print(json.dumps(lam.pids()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_are_killed_if_the_emulator_dies(tmp_path: Path) -> None:
    write_extension(tmp_path, "tester", "register(); next_event(); threading.Event().wait(600)")

    command = [sys.executable, "-c", KILLED, str(tmp_path), str(FUNCTIONS)]
    emulator = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=False)

    assert emulator.returncode == -signal.SIGKILL
    pids = json.loads(emulator.stdout)
    assert set(pids) == {"tester", "runtime"}
    for pid in pids.values():
        wait_until(partial(is_dead, pid))
