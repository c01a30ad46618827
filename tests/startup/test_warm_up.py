import os
import subprocess
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from tests.support.paths import PROJECT
from tests.support.subprocess_coverage import isolated_python

WARM_UP = r"""
import _thread, gc, os, sys
sys.path.insert(0, sys.argv[1])
main = _thread.get_native_id()

def priority():
    return os.getpriority(os.PRIO_PROCESS, _thread.get_native_id())

def audit(event, arguments):
    if event == "import" and arguments[0] in ("threading", "telemetry_forwarder.worker.wiring"):
        is_main = _thread.get_native_id() == main
        # In one write, because the main thread prints as well.
        os.write(1, f"importing {arguments[0]} at {priority()} {gc.isenabled()} {is_main}\n".encode())

from telemetry_forwarder.startup.warm_up import WarmUp
sys.addaudithook(audit)
%s
warm_up = WarmUp(os.environ)
warm_up.wait_for_threads()
print("threads", "telemetry_forwarder.worker.thread" in sys.modules, end=" ")
print("telemetry_forwarder.receiver.listener" in sys.modules)
warm_up.wait()
warm_up.wait()
print("then at", priority(), gc.isenabled(), gc.get_freeze_count() > 0)
print("telemetry_forwarder.worker.wiring" in sys.modules)
"""


BOTH_ENDPOINTS = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector", "TELEMETRY_FORWARDER_ENDPOINT": "https://h"}


def run(before: str = "", after: str = "", variables: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    command = isolated_python(WARM_UP % before + after, str(PROJECT), has_libraries=True)
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**environ, **variables})
    return done.stdout.splitlines()


def test_imports_run_at_low_priority_in_another_thread_without_garbage_collection() -> None:
    assert sorted(run()) == sorted(
        [
            "importing threading at 10 False False",
            "threads True True",
            "importing telemetry_forwarder.worker.wiring at 10 False False",
            "then at 0 True True",
            "True",
        ]
    )


def test_failed_import_is_left_to_the_caller() -> None:
    lines = run("sys.modules['orjson'] = None")

    assert lines[-2:] == ["then at 0 True True", "False"]


def test_failed_import_of_the_threads_blocks_no_caller() -> None:
    lines = run("sys.modules['telemetry_forwarder.receiver.connections'] = None")

    assert "threads True False" in lines


def test_imports_run_at_normal_priority_if_it_cannot_be_lowered() -> None:
    lines = run("import posix\ndef refuse(*_): raise PermissionError\nposix.setpriority = refuse")

    assert "importing threading at 0 False False" in lines
    assert lines[-1] == "True"


def test_unexpected_error_blocks_no_caller() -> None:
    lines = run("def refuse(): raise RuntimeError('unexpected')\ngc.disable = refuse")

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
def test_proxy_client_is_imported_if_a_proxy_is_set(variables: dict[str, str], is_imported: str) -> None:
    lines = run(after="print('telemetry_forwarder.transport.proxied' in sys.modules)", variables=variables)

    assert lines[-1] == is_imported


@pytest.mark.parametrize(
    ("variables", "is_imported"),
    [
        ({}, "False"),
        ({"TELEMETRY_FORWARDER_PROTOCOL": "http/protobuf"}, "False"),
        ({"TELEMETRY_FORWARDER_PROTOCOL": " 'GRPC' "}, "True"),
        ({"TELEMETRY_FORWARDER_LOGS_PROTOCOL": "grpc"}, "True"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "True"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "TELEMETRY_FORWARDER_ENDPOINT": "https://h"}, "True"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"} | BOTH_ENDPOINTS, "False"),
    ],
)
def test_client_of_grpc_is_imported_if_grpc_is_set(variables: dict[str, str], is_imported: str) -> None:
    lines = run(after="print('hpack' in sys.modules)", variables=variables)

    assert lines[-1] == is_imported
