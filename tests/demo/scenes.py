"""What the demo does: six orders for the function in `function/app.py`, one after another."""

from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 3.0
"""Lambda's default."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One invocation: the title and caption that are shown, and the event of the function."""

    title: str
    caption: str
    order: dict[str, Any]


SCENES = (
    Scene(
        "The first order: a cold start",
        "Lambda starts a new environment (init). Then the function takes the order.",
        {"id": 1001, "items": 2, "total": 42.5},
    ),
    Scene(
        "The second order: warm",
        "The environment is there already, so only the function runs.",
        {"id": 1002, "items": 1, "total": 9.9},
    ),
    Scene(
        "A slow order",
        "The bank takes a second to answer. The function waits, and logs a warning.",
        {"id": 1003, "items": 5, "total": 120.0, "bank_answers_after_s": 0.9},
    ),
    Scene(
        "A declined card: the function raises",
        "The handler raises CardDeclinedError. Lambda reports a success all the same; the span has the error.",
        {"id": 1004, "items": 1, "total": 999.0, "is_declined": True},
    ),
    Scene(
        "A bank that never answers: a timeout",
        f"Lambda kills the function after {TIMEOUT_S:.0f} s. Its log lines and its span arrive all the same.",
        {"id": 1005, "items": 3, "total": 75.0, "bank_answers_after_s": 60.0},
    ),
    Scene(
        "The order after the timeout: a cold start again",
        "Lambda starts all anew within the invocation: faas.invoke_duration contains it, the span orders does not.",
        {"id": 1006, "items": 2, "total": 18.0},
    ),
)

ANOTHER = Scene("Another order", "Taken with `--keep`.", {"id": 1007, "items": 1, "total": 5.0})
