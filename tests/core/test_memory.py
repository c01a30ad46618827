import os
import subprocess
import sys

import pytest

MB = 1_000_000
# Prints by how much the resident memory shrinks. One block stays, so that the heap does not shrink by itself.
PROGRAM = """
import os, re
from telemetry_forwarder.core.memory import MemoryTrimmer

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

memory = MemoryTrimmer()
blocks = [bytes([1]) * 250_000 for _ in range(200)]
keeps = bytes([1]) * 250_000
del blocks
memory.used(%d)
if %d:
    memory.freed()
before = resident()
memory.trim()
print(before - resident())
"""
KEPT = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}


def trimmed_bytes(used_bytes: int, *, is_freed: bool) -> int:
    command = [sys.executable, "-c", PROGRAM % (used_bytes, is_freed)]
    environ = {**os.environ, **KEPT}
    return int(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    ("used_bytes", "is_freed", "is_trimmed"), [(5 * MB, True, True), (1 * MB, True, False), (5 * MB, False, False)]
)
def test_memory_is_trimmed_once_much_was_freed(used_bytes: int, is_freed: bool, is_trimmed: bool) -> None:
    assert (trimmed_bytes(used_bytes, is_freed=is_freed) > 40 * MB) is is_trimmed
