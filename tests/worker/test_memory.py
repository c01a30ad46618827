"""Memory that is free goes back to the system when it is told to, and not for every trifle."""

import os
import subprocess
import sys

import pytest

MB = 1_000_000
# The kernel's figure, after blocks as large as those of a post have come and gone. What keeps them from the end of the
# heap is a block that stays.
PROGRAM = """
import os, re
from telemetry_forwarder.worker.memory import FreeMemory

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

memory = FreeMemory()
blocks = [bytes([1]) * 250_000 for _ in range(200)]
keeps = bytes([1]) * 250_000
del blocks
memory.used(%d)
before = resident()
memory.give_back()
print(before - resident())
"""
KEPT = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}


def given_back(used: int) -> int:
    command = [sys.executable, "-c", PROGRAM % used]
    return int(
        subprocess.run(command, env={**os.environ, **KEPT}, capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.parametrize(("used", "is_given_back"), [(5 * MB, True), (1 * MB, False)])
def test_what_is_free_is_given_back_after_much_has_come(used: int, is_given_back: bool) -> None:
    assert (given_back(used) > 40 * MB) is is_given_back
