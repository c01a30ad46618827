"""The function of the tests; the event selects what it does.

``{"log": 5, "print": 2, "sleep": 0.2}`` logs five lines, prints two and waits. The keys are those of `_ACTIONS`.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]

logger = logging.getLogger()
logger.setLevel(logging.INFO)

_invocations = 0
_allocated: list[bytearray] = []


class DemoError(Exception):
    """What ``{"raise": true}`` raises."""


def _log(event: Event, context: Any) -> None:
    for number in range(event["log"]):
        logger.info("line %d of %d", number, event["log"])


def _print(event: Event, context: Any) -> None:
    for number in range(event["print"]):
        print(f"printed {number} by {context.aws_request_id}")


def _say(event: Event, context: Any) -> None:
    print(event["say"])


def _stderr(event: Event, context: Any) -> None:
    print(event["stderr"], file=sys.stderr)


def _json(event: Event, context: Any) -> None:
    print(json.dumps(event["json"]))


def _multiline(event: Event, context: Any) -> None:
    logger.info("\n".join(f"row {number}" for number in range(event["multiline"])))


def _levels(event: Event, context: Any) -> None:
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, level)("logged as %s", level)


def _huge(event: Event, context: Any) -> None:
    """Print one line of that many bytes: a JSON object, so that Lambda can cut it within a value."""
    text = f"{context.aws_request_id} " + "é" * ((event["huge"] - 60) // 2)
    print(json.dumps({"level": "INFO", "message": text, "number": 7}, ensure_ascii=False))


def _huge_text(event: Event, context: Any) -> None:
    print("x" * event["huge_text"])


def _flood(event: Event, context: Any) -> None:
    """Print that many lines in one write: Python's print would be the bottleneck."""
    sys.stdout.write("".join(f"flood {number} {context.aws_request_id}\n" for number in range(event["flood"])))


def _memory(event: Event, context: Any) -> None:
    _allocated.append(bytearray(os.urandom(1)) * (event["memory"] * 1024 * 1024))


def _sleep(event: Event, context: Any) -> None:
    threading.Event().wait(event["sleep"])


def _spin(event: Event, context: Any) -> None:
    """Use that many seconds of CPU time: how long it takes depends on the CPU share."""
    ends = time.process_time() + event["spin"]
    while time.process_time() < ends:
        pass


def _write_tmp(event: Event, context: Any) -> None:
    with open(os.path.join(os.environ.get("TMPDIR", "/tmp"), event["write_tmp"]), "a") as file:
        file.write(context.aws_request_id + "\n")


def _raise(event: Event, context: Any) -> None:
    raise DemoError(event["raise"] if isinstance(event["raise"], str) else "raised on request")


def _exit(event: Event, context: Any) -> None:
    sys.stdout.flush()
    os._exit(event["exit"])


def _kill(event: Event, context: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# Executed in this order, not in that of the event's keys.
_ACTIONS: dict[str, Callable[[Event, Any], None]] = {
    "log": _log,
    "print": _print,
    "say": _say,
    "stderr": _stderr,
    "json": _json,
    "multiline": _multiline,
    "levels": _levels,
    "huge": _huge,
    "huge_text": _huge_text,
    "flood": _flood,
    "write_tmp": _write_tmp,
    "memory": _memory,
    "spin": _spin,
    "sleep": _sleep,
    "raise": _raise,
    "exit": _exit,
    "kill": _kill,
}


def handler(event: Any, context: Any) -> Any:
    """Execute the actions that the event names; return the event and where it ran."""
    global _invocations  # noqa: PLW0603  # a warm environment counts its invocations so
    _invocations += 1
    event = event if isinstance(event, dict) else {}
    for name, action in _ACTIONS.items():
        if event.get(name):
            action(event, context)
    if event.get("return_bytes"):
        return "x" * event["return_bytes"]
    return {"event": event, "invocation": _invocations, "pid": os.getpid()}
