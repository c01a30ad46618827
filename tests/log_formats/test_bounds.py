"""No line of 256 KiB takes long, whatever it repeats: each format's beginning before each kind of text that repeats."""

import time
from typing import Any

import pytest

from telemetry_forwarder.log_formats.parser import read_line
from tests.support.lines import ID, ISO

LENGTH = 262_144
# 20 ms of CPU at most on an idle machine; here for machines that are slower, or count the waiting of others.
BOUND_S = 0.1

BEGINNINGS = [
    "",
    "[ERROR] ",
    f"[ERROR]\t{ISO}\t{ID}\t",
    f"{ISO}\t{ID}\tfail\tA.B: ",
    f"{ISO}\t{ID}\tERROR\tInvoke Error \t{{",
    "2026-09-22 06:30:00,000 ",
    '{"level":"error","message":"',
    "panic: ",
    "thread 'main' panicked at ",
    "PHP Fatal error:  Uncaught A: ",
    "Traceback (most recent call last):\n",
    "Error: a\n    at ",
    "LAMBDA_WARNING: Unhandled exception. x\r",
    f"RequestId: {ID} Error: ",
    "/var/task/a.js:1\n",
]
REPEATED = [
    *(" ", "\n", "\n\n", "\r", "9", "[", "({", '{"a":', "a.", "A", "\x1b[0m", "\x1b[31m^"),
    *("Caused by: a\n", "\n    at a (b:1:2)", "Error: ", "\nError: ", "\nTraceback (most recent call last):"),
    *("panic: ", "panic: a\n", "\n.rb:1:in ", "a.rb:1:in \n", "\n  |", "\n  | aGroup: ", "\nStack trace:\n#0 "),
    *(
        " [Error: ",
        "Error: [",
        "='Traceback (most recent call last):\\n",
        "<1>",
        "a - ",
        "A: ",
        " in /a",
        "a=b ",
        "trace_id=",
        "[ERROR] ",
        f"{ISO}\t",
        "- ",
        "\n^\n",
        "a:1\n",
        "\nNode.js v",
        "\n ---> A.Error: ",
        "[object] (A(code: 0): Error ",
        "\n\n  ^\n",
    ),
]
# So that a stack trace is searched for, and one that ends before it is found.
ENDS = ["", "\n    at a (b:1:2)", "\ngoroutine 1 [", "\nStack trace:\n#0 ", "\na.rb:1:in 'f'", '"}']


def cpu_s(record: Any) -> float:
    began_s = time.process_time()
    read_line(record)
    return time.process_time() - began_s


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_line_that_repeats_anything_is_read_in_time(beginning: str) -> None:
    slow = []
    for number, repeated in enumerate(REPEATED):
        end = ENDS[number % len(ENDS)]
        text = beginning + repeated * ((LENGTH - len(beginning) - len(end)) // len(repeated)) + end
        records = [text, {"timestamp": ISO, "level": "ERROR", "message": "a", "err": {"message": "a", "stack": text}}]
        # Once more if something else took the CPU's caches.
        slow += [repeated for record in records if cpu_s(record) > BOUND_S and cpu_s(record) > BOUND_S]

    assert slow == []


@pytest.mark.parametrize("end", ENDS)
def test_text_that_may_be_a_trace_is_searched_in_time(end: str) -> None:
    slow = []
    for repeated in REPEATED:
        text = repeated * ((LENGTH - len(end)) // len(repeated)) + end
        wrapped = {"timestamp": ISO, "level": "INFO", "message": text}
        slow += [repeated for record in (text, wrapped) if cpu_s(record) > BOUND_S and cpu_s(record) > BOUND_S]

    assert slow == []
