"""The imports of threads and worker: in nobody's way, and out of the garbage collector's sight."""

import os
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

import pytest

WARM_UP = r"""
import _thread, gc, os, sys
main = _thread.get_native_id()

def priority():
    return os.getpriority(os.PRIO_PROCESS, _thread.get_native_id())

def audit(event, arguments):
    if event == "import" and arguments[0] in ("threading", "telemetry_forwarder.worker.wiring"):
        is_main = _thread.get_native_id() == main
        # In one piece: the main thread prints as well.
        os.write(1, f"importing {arguments[0]} at {priority()} {gc.isenabled()} {is_main}\n".encode())

from telemetry_forwarder.startup.warm_up import WarmUp
sys.addaudithook(audit)
%s
warm_up = WarmUp()
warm_up.wait_for_threads()
print("threads", "telemetry_forwarder.worker.thread" in sys.modules, end=" ")
print("telemetry_forwarder.receiver.listener" in sys.modules)
warm_up.wait()
warm_up.wait()
print("then at", priority(), gc.isenabled(), gc.get_freeze_count() > 0)
print("telemetry_forwarder.worker.wiring" in sys.modules)
"""


def run(before: str = "", after: str = "", variables: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    command = [sys.executable, "-c", WARM_UP % before + after]
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**environ, **variables})
    return done.stdout.splitlines()


def test_imports_at_a_low_priority_that_is_not_the_lowest_and_leaves_the_caller_s_as_it_was() -> None:
    assert sorted(run()) == sorted(
        [
            "importing threading at 10 False False",
            "threads True True",
            "importing telemetry_forwarder.worker.wiring at 10 False False",
            "then at 0 True True",
            "True",
        ]
    )


def test_import_that_fails_is_left_to_the_caller() -> None:
    lines = run("sys.modules['orjson'] = None")

    assert lines[-2:] == ["then at 0 True True", "False"]


def test_threads_that_cannot_be_imported_keep_nobody_waiting() -> None:
    lines = run("sys.modules['select'] = None")

    assert "threads True False" in lines


def test_priority_that_may_not_be_changed_is_no_obstacle() -> None:
    lines = run("import posix\ndef refuse(*_): raise PermissionError\nposix.setpriority = refuse")

    assert "importing threading at 0 False False" in lines
    assert lines[-1] == "True"


def test_nobody_waits_for_ever_whatever_breaks() -> None:
    lines = run("def refuse(): raise RuntimeError('of nobody')\ngc.disable = refuse")

    assert "threads False False" in lines
    assert lines[-1] == "False"


@pytest.mark.parametrize(
    ("variables", "is_imported"),
    [
        ({}, "False"),
        ({"NO_PROXY": "*"}, "False"),
        ({"HTTPS_PROXY": ""}, "False"),
        ({"HTTPS_PROXY": "http://p:1"}, "True"),
        ({"http_proxy": "http://p:1"}, "True"),
    ],
)
def test_the_way_through_proxies_is_imported_where_one_is_set(
    variables: dict[str, str], is_imported: str
) -> None:
    said = run(after="print('telemetry_forwarder.transport.proxied' in sys.modules)", variables=variables)

    assert said[-1] == is_imported
