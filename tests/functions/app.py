"""The function of the tests and of the demo: does what the event says.

``{"log": 5, "print": 2, "sleep": 0.2}`` logs five lines, prints two and waits; the keys are the table below.
"""

import json
import logging
import os
import signal
import sys
import threading
import time

logger = logging.getLogger()
logger.setLevel(logging.INFO)

_invocations = 0
_hoard = []


class DemoError(Exception):
    """What ``{"raise": true}`` raises."""


def _log(event, context):
    for number in range(event["log"]):
        logger.info("line %d of %d", number, event["log"])


def _print(event, context):
    for number in range(event["print"]):
        print(f"printed {number} by {context.aws_request_id}")


def _say(event, context):
    print(event["say"])


def _stderr(event, context):
    print(event["stderr"], file=sys.stderr)


def _json(event, context):
    print(json.dumps(event["json"]))


def _multiline(event, context):
    logger.info("\n".join(f"row {number}" for number in range(event["multiline"])))


def _levels(event, context):
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, level)("said as %s", level)


def _huge(event, context):
    """One line of so many bytes: a JSON object, so that it may be cut in mid-value."""
    text = f"{context.aws_request_id} " + "é" * ((event["huge"] - 60) // 2)
    print(json.dumps({"level": "INFO", "message": text, "number": 7}, ensure_ascii=False))


def _huge_text(event, context):
    print("x" * event["huge_text"])


def _flood(event, context):
    """So many lines in one write, for loads where Python's own print would be the bottleneck."""
    sys.stdout.write(
        "".join(f"flood {number} {context.aws_request_id}\n" for number in range(event["flood"]))
    )


def _memory(event, context):
    _hoard.append(bytearray(os.urandom(1)) * (event["memory"] * 1024 * 1024))


def _sleep(event, context):
    threading.Event().wait(event["sleep"])


def _spin(event, context):
    """So many seconds of CPU time: how long they take tells the CPU share."""
    ends = time.process_time() + event["spin"]
    while time.process_time() < ends:
        pass


def _write_tmp(event, context):
    with open(os.path.join(os.environ.get("TMPDIR", "/tmp"), event["write_tmp"]), "a") as file:
        file.write(context.aws_request_id + "\n")


def _raise(event, context):
    raise DemoError(event["raise"] if isinstance(event["raise"], str) else "raised on request")


def _exit(event, context):
    sys.stdout.flush()
    os._exit(event["exit"])


def _kill(event, context):
    os.kill(os.getpid(), signal.SIGKILL)


# In this order, whatever the order of the event's keys.
_DEEDS = {
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


def handler(event, context):
    """Do the deeds that the event names and say what was done."""
    global _invocations
    _invocations += 1
    event = event if isinstance(event, dict) else {}
    for name, deed in _DEEDS.items():
        if event.get(name):
            deed(event, context)
    if event.get("return_bytes"):
        return "x" * event["return_bytes"]
    return {"event": event, "invocation": _invocations, "pid": os.getpid()}
