"""Runs the extension where its address space cannot grow, as under `ulimit -v`."""

import http.client
import re
import resource
from pathlib import Path

import pytest

from tests.support.collector import FakeCollector
from tests.support.extension_process import ExtensionProcess
from tests.support.fake_lambda import NEXT, invoke, shutdown
from tests.support.otlp_messages import LOGS
from tests.support.posts import event, post

_LARGE = post(*(event("function", f"line {number} " + "x" * 1_000) for number in range(3_000)))


def test_post_that_there_is_no_memory_for_costs_only_its_connection(opt: Path) -> None:
    with (
        FakeCollector() as collector,
        ExtensionProcess(
            opt, {"TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint, "TELEMETRY_FORWARDER_FLUSH": "shutdown"}
        ) as extension,
    ):
        extension.runtime.respond(NEXT, invoke())
        extension.runtime.wait_for(NEXT, 2)
        extension.post(post(event("function", "before")))
        unlimited = limit(extension.process.pid, address_space_of(extension.process.pid))
        with pytest.raises((OSError, http.client.HTTPException)):
            extension.post(_LARGE)
        limit(extension.process.pid, unlimited)
        extension.post(post(event("function", "after")))
        extension.runtime.respond(NEXT, shutdown())
        code, lines = extension.end()

        assert (code, collector.accepted(LOGS)) == (0, 2)
    assert [line for line in lines if not line.startswith("[telemetry-forwarder]")] == []


def address_space_of(pid: int) -> int:
    found = re.search(r"VmSize:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def limit(pid: int, limit_bytes: int) -> int:
    """Limit the address space of the process; return the earlier limit."""
    earlier, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit_bytes, hard))
    return earlier
