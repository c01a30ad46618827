"""Scenarios in which the function or Lambda fails."""

import os
import signal
import threading
from collections import Counter
from typing import Any

from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.emulator.settings import MANAGED, SNAP_START
from tests.support.collector import Hang, Response
from tests.support.waiting import is_dead, wait_until

EXTENSION = "telemetry-forwarder"


def _frozen_during_export(run: Run) -> None:
    """Export in the background, so that the sandbox freezes with a request in flight."""
    with run.environment({"TELEMETRY_FORWARDER_FLUSH": "every 1 s"}):
        for _ in range(3):
            hang = Hang()
            run.collector.script(hang)
            run.invoke(sleep=1.1 + run.random.random() * 0.1)
            hang.until.set()
            if run.random.random() < 0.3:
                run.collector.drop_connections()


def _timeout(run: Run) -> None:
    with run.environment(timeout_s=2.5):
        run.invoke()
        run.invoke(sleep=30, expect="timeout")
        run.invoke()


def _crash(run: Run) -> None:
    with run.environment():
        run.invoke()
        actions: dict[str, Any] = {run.random.choice(["exit", "kill"]): 1}
        run.invoke(expect="error", **actions)
        run.invoke()


def _out_of_memory(run: Run) -> None:
    with run.environment() as function:
        run.invoke()
        killer = threading.Timer(0.2, function.kill_out_of_memory)
        killer.start()
        run.invoke(sleep=60, expect="error")
        killer.join()
        run.invoke()


def _reset_with_spool(run: Run) -> None:
    run.collector.refuse()
    with run.environment():
        run.invoke()
        run.invoke(exit=1, expect="error")
        assert run.on_disk()
        run.collector.listen()
        run.invoke()


def _little_time(run: Run) -> None:
    run.collector.script(then=Hang(accepts=False))
    with run.environment({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}, shutdown_s=0.8):
        for _ in range(3):
            run.invoke(lines=200)


def _killed(run: Run) -> None:
    """Kill the extension while it holds some records and has spooled others, which have to arrive."""
    run.collector.refuse()
    with run.environment({"TELEMETRY_FORWARDER_OUTBOX_BYTES": "65536"}) as function:
        for _ in range(3):
            run.invoke(lines=400)
        before, on_disk = run.delivered_by_lambda(), run.on_disk()
        os.kill(function.pids()[EXTENSION], signal.SIGKILL)
        run.excused = before - on_disk
        run.collector.listen()
        run.invoke(expect="error")
        run.excused += Counter(run.delivered_by_lambda() - before) - run.arrived()
        run.invoke()


def _signalled(run: Run) -> None:
    """End the extension by a signal while it holds everything; the next process delivers it."""
    run.collector.refuse()
    with run.environment({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}) as function:
        for _ in range(3):
            run.invoke(lines=700)
        function.wait_for_end()
        pid = function.pids()[EXTENSION]
        # A frozen process receives a signal when it thaws, in any of its threads.
        is_frozen = run.random.choice([True, False])
        if not is_frozen:
            function.thaw()
        os.kill(pid, run.random.choice([signal.SIGTERM, signal.SIGINT]))
        if is_frozen:
            function.thaw()
        wait_until(lambda: is_dead(pid))
        run.collector.listen()
        run.invoke(expect="error")
        run.invoke()


def _much_at_shutdown(run: Run) -> None:
    run.collector.script(then=Response(after_s=0.02))
    with run.environment({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}):
        run.invoke(lines=5_000)


def _no_report(run: Run) -> None:
    with run.environment(report="never"):
        for _ in range(3):
            run.invoke()


def _report_at_the_end(run: Run) -> None:
    with run.environment(report=run.random.choice(["shutdown-window", "late"])):
        for _ in range(3):
            run.invoke()


def _redelivered(run: Run) -> None:
    with run.environment(redeliver_every=run.random.choice([1, 2])):
        for _ in range(5):
            run.invoke()


def _burst(run: Run) -> None:
    with run.environment():
        for lines in (300, *[3_000] * 5, 300):
            run.invoke(lines=lines)


def _many_at_once(run: Run) -> None:
    with run.environment(initialization_type=MANAGED, max_concurrency=16, freeze=False) as function:
        run.invoke_many([run.event(sleep=0.02) for _ in range(48)])
        function.wait_until_delivered()


def _restored(run: Run) -> None:
    """Restore a snapshot whose connections are closed and whose init was an hour ago."""
    with run.environment(initialization_type=SNAP_START):
        run.collector.drop_connections()
        for _ in range(3):
            run.invoke()


# What depends on how a request is sent.
_FOR_BOTH = (
    Scenario("freeze during export", "the sandbox freezes with a request in flight", _frozen_during_export),
    Scenario("reset with spool", "what was spooled is delivered by the next process", _reset_with_spool),
    Scenario("deadline", "SHUTDOWN leaves less time than a hanging request takes", _little_time),
    Scenario("SIGTERM, SIGINT", "a signal ends the extension; what it held arrives", _signalled),
    Scenario("5,000 at shutdown", "5,000 records held until SHUTDOWN, responses after 20 ms", _much_at_shutdown),
    Scenario("restored", "SnapStart: a snapshot of an hour ago is restored", _restored),
)
LAMBDA = (
    *_FOR_BOTH,
    *(each.over_grpc() for each in _FOR_BOTH),
    Scenario("timeout", "the function times out and the environment is reset", _timeout),
    Scenario("crash", "the runtime exits and the environment is reset", _crash),
    Scenario("out of memory", "the runtime is killed and the environment is reset", _out_of_memory),
    Scenario("SIGKILL", "the extension is killed; what it spooled arrives", _killed, kills=1),
    Scenario("no report", "platform.report never comes", _no_report),
    Scenario("late report", "platform.report comes late, or after SHUTDOWN", _report_at_the_end),
    Scenario("redelivered", "every post, or every second, is delivered twice", _redelivered),
    Scenario("burst", "ten times the usual rate for a while", _burst),
    Scenario("16 at once", "managed instances, 16 invocations interleaved", _many_at_once),
)
