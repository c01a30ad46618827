"""The imports of the worker: in nobody's way, and out of the garbage collector's sight."""

import subprocess
import sys

WARM_UP = """
import gc, os, sys, threading

class Told:
    # Asked first for every module that is imported.
    def find_spec(name, *_):
        if name == "telemetry_forwarder.assembly":
            print("importing at", os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), gc.isenabled())

sys.meta_path.insert(0, Told)
from telemetry_forwarder.warm_up import import_assembly
%s
import_assembly()
print("then at", os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), gc.isenabled(), gc.get_freeze_count() > 0)
print("telemetry_forwarder.assembly" in sys.modules)
"""


def run(before: str = "") -> list[str]:
    command = [sys.executable, "-c", WARM_UP % before]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_imports_at_a_low_priority_that_is_not_the_lowest_and_leaves_the_caller_s_as_it_was() -> None:
    assert run() == ["importing at 10 False", "then at 0 True True", "True"]


def test_import_that_fails_is_left_to_the_caller() -> None:
    lines = run("sys.modules['orjson'] = None")

    assert lines[-2:] == ["then at 0 True True", "False"]


def test_priority_that_may_not_be_changed_is_no_obstacle() -> None:
    lines = run("def refuse(*_): raise PermissionError\nos.setpriority = refuse")

    assert lines[-1] == "True"
