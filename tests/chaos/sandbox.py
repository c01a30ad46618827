"""Scenarios of Lambda itself."""

import os
import signal
import threading
from collections import Counter
from typing import Any

from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.emulator.settings import MANAGED, SNAP_START
from tests.support.collector import Hang, Response

_EXTENSION = "telemetry-forwarder"


def _frozen_in_mid_export(run: Run) -> None:
    """In the background, so that the sandbox is frozen when the function is done, the request half way."""
    with run.life({"TELEMETRY_FORWARDER_FLUSH": "every 1 s"}):
        for _ in range(3):
            hang = Hang()
            run.collector.script(hang)
            run.invoke(sleep=1.1 + run.random.random() * 0.1)
            hang.until.set()
            if run.random.random() < 0.3:
                run.collector.drop_connections()


def _timeout(run: Run) -> None:
    with run.life(timeout_s=2.5):
        run.invoke()
        run.invoke(sleep=30, expect="timeout")
        run.invoke()


def _crash(run: Run) -> None:
    with run.life():
        run.invoke()
        deeds: dict[str, Any] = {run.random.choice(["exit", "kill"]): 1}
        run.invoke(expect="error", **deeds)
        run.invoke()


def _out_of_memory(run: Run) -> None:
    with run.life() as function:
        run.invoke()
        killer = threading.Timer(0.2, function.kill_out_of_memory)
        killer.start()
        run.invoke(sleep=30, expect="error")
        killer.join()
        run.invoke()


def _reset_with_spool(run: Run) -> None:
    run.collector.refuse()
    with run.life():
        run.invoke()
        run.invoke(exit=1, expect="error")
        assert run.on_disk()
        run.collector.listen()
        run.invoke()


def _little_time(run: Run) -> None:
    run.collector.script(then=Hang(accepts=False))
    with run.life({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}, shutdown_s=0.8):
        for _ in range(3):
            run.invoke(lines=200)


def _killed(run: Run) -> None:
    """Without a warning, while it holds and has spooled: what lies on disk then has to arrive."""
    run.collector.refuse()
    with run.life({"TELEMETRY_FORWARDER_OUTBOX_BYTES": "65536"}) as function:
        for _ in range(3):
            run.invoke(lines=400)
        before, on_disk = run.delivered_by_lambda(), run.on_disk()
        os.kill(function.pids()[_EXTENSION], signal.SIGKILL)
        run.excused = before - on_disk
        run.collector.listen()
        run.invoke(expect="error")
        run.excused += Counter(run.delivered_by_lambda() - before) - run.arrived()
        run.invoke()


def _much_at_shutdown(run: Run) -> None:
    run.collector.script(then=Response(after_s=0.02))
    with run.life({"TELEMETRY_FORWARDER_FLUSH": "shutdown"}):
        run.invoke(lines=5_000)


def _no_report(run: Run) -> None:
    with run.life(report="never"):
        for _ in range(3):
            run.invoke()


def _report_at_the_end(run: Run) -> None:
    with run.life(report=run.random.choice(["shutdown-window", "late"])):
        for _ in range(3):
            run.invoke()


def _redelivered(run: Run) -> None:
    with run.life(redeliver_every=run.random.choice([1, 2])):
        for _ in range(5):
            run.invoke()


def _burst(run: Run) -> None:
    with run.life():
        for lines in (300, *[3_000] * 5, 300):
            run.invoke(lines=lines)


def _many_at_once(run: Run) -> None:
    with run.life(initialization_type=MANAGED, max_concurrency=16, freeze=False) as function:
        run.invoke_many([run.event(sleep=0.02) for _ in range(48)])
        function.wait_until_delivered()


def _restored(run: Run) -> None:
    """From a snapshot: its connections, if there were any, lead nowhere, and its init lies an hour back."""
    with run.life(initialization_type=SNAP_START):
        run.collector.drop_connections()
        for _ in range(3):
            run.invoke()


LAMBDA = (
    Scenario("freeze in mid-export", "the sandbox freezes with a request on its way", _frozen_in_mid_export),
    Scenario("timeout", "the function times out, and all starts anew", _timeout),
    Scenario("crash", "the runtime exits, and all starts anew", _crash),
    Scenario("out of memory", "the runtime is killed, and all starts anew", _out_of_memory),
    Scenario("reset with spool", "what was spooled is delivered by the next life", _reset_with_spool),
    Scenario("deadline", "so little time at the end that Lambda would kill whoever waits", _little_time),
    Scenario("SIGKILL", "killed without a warning; what was on disk arrives", _killed, kills=1),
    Scenario(
        "5,000 at shutdown", "5,000 records held until the end, the endpoint at 20 ms", _much_at_shutdown
    ),
    Scenario("no report", "platform.report never comes", _no_report),
    Scenario("late report", "platform.report comes late, or after SHUTDOWN", _report_at_the_end),
    Scenario("redelivered", "every post, or every second, is given twice", _redelivered),
    Scenario("burst", "ten times the usual rate for a while", _burst),
    Scenario("restored", "SnapStart: begun an hour ago, in another place", _restored),
    Scenario("16 at once", "managed instances, 16 invocations interleaved", _many_at_once),
)
