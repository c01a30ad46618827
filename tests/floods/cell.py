"""One cell of the flood matrix: a few invocations that print very many lines, with or without the extension."""

import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from telemetry_forwarder.buffer.spool_format import SpoolFormat, posts_of
from tests.bench.measuring import cpu_ms
from tests.bench.sink import Sink
from tests.chaos.ledger_line import is_ledger_line, parse
from tests.emulator import InvocationResult, Lambda
from tests.support.paths import FUNCTIONS

_EXTENSION = "telemetry-forwarder"
_FORMAT = SpoolFormat(function="orders", version="$LATEST", process=b"")


@dataclass(frozen=True)
class Cell:
    """What is combined with what."""

    memory_mb: int
    lines: int
    flush: str
    endpoint: str
    """`healthy`, or `hanging`: connections are accepted and nothing is ever read or sent."""
    invocations: int = 2
    timeout_s: float = 3.0


@dataclass(frozen=True)
class Reading:
    """What one run of a cell measured."""

    seconds: tuple[float, ...]
    """Of each invocation, until function and extension were idle, or until the timeout."""
    cpu_s: tuple[float, ...]
    """The CPU time of the extension during each; zero for an extension that has ended."""
    timeouts: int
    failures: int
    """Invocations that failed otherwise, and exits of the extension that were not clean."""
    is_exact: bool = True
    remarks: tuple[str, ...] = ()


def measure(cell: Cell, opt: Path | None) -> Reading:
    """Run *cell* with the extension of *opt*, or without any."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Sink() as sink,
        Sink(keeps=False) as observer,
        socket.create_server(("127.0.0.1", 0)) as hanging,
    ):
        (empty := Path(folder, "opt")).mkdir()
        spool = Path(folder, "spool", "telemetry-forwarder")
        env = {
            "TELEMETRY_FORWARDER_ENDPOINT": sink.endpoint
            if cell.endpoint == "healthy"
            else f"http://127.0.0.1:{hanging.getsockname()[1]}",
            "TELEMETRY_FORWARDER_FLUSH": cell.flush,
            "TELEMETRY_FORWARDER_SPOOL_DIR": str(spool),
        }
        lam = Lambda(
            opt=opt or empty,
            task=FUNCTIONS,
            env=env,
            memory_mb=cell.memory_mb,
            timeout_s=cell.timeout_s,
            cpu_share=True,
            freeze=True,
            remember=False,
            # Without the extension somebody else receives the telemetry: its cost to the emulator is the same in both.
            observer_port=0 if opt else observer.port,
        )
        with lam:
            played = [_invoke(lam, cell.lines) for _ in range(cell.invocations)]
            exits = lam.shutdown()
        exits += [exit_ for _, of_reset in lam.resets for exit_ in of_reset]
        unclean = [exit_ for exit_ in exits if exit_.killed or exit_.code]
        timeouts = sum(result.status == "timeout" for result, _ in played)
        is_exact, remarks = _counts(lam, spool, processes=len(exits)) if opt else (True, [])
        return Reading(
            seconds=tuple(result.total_s for result, _ in played),
            cpu_s=tuple(cpu_s for _, cpu_s in played),
            timeouts=timeouts,
            failures=sum(not result.is_success for result, _ in played) - timeouts + len(unclean),
            is_exact=is_exact,
            remarks=(*remarks, *map(str, unclean)),
        )


def _invoke(lam: Lambda, lines: int) -> tuple[InvocationResult, float]:
    """Invoke once; return the result and the CPU time of the extension."""
    pid = lam.pids().get(_EXTENSION)
    before_ms = cpu_ms(pid) if pid else 0.0
    result = lam.invoke({"flood": lines})
    is_same = pid is not None and lam.pids().get(_EXTENSION) == pid
    return result, (cpu_ms(pid) - before_ms) / 1_000 if pid and is_same else 0.0


def _counts(lam: Lambda, spool: Path, *, processes: int) -> tuple[bool, list[str]]:
    """Return whether every record that Lambda delivered is in a ledger or in a post on disk."""
    lines = [line for line in lam.extension_output if is_ledger_line(line)]
    balanced = all(signal.is_exact for line in lines for signal in parse(line).values())
    received = sum(int(line.split(" records received ")[1].split()[0].rstrip(";")) for line in lines)
    on_disk = sum(_records(path) for path in spool.iterdir()) if spool.is_dir() else 0
    delivered = lam.counts.get("delivered", 0)
    is_exact = balanced and len(lines) == processes and received + on_disk == delivered
    counts = f"delivered by Lambda {delivered}, received {received}, in posts on disk {on_disk}"
    return is_exact, [] if is_exact else [counts, *lam.extension_output]


def _records(path: Path) -> int:
    file = _FORMAT.parse_name(path.name)
    batch = file and file.signal == "posts" and _FORMAT.decode(file, path.read_bytes())
    return sum(len(orjson.loads(post)) for post in posts_of(batch)) if batch else 0
