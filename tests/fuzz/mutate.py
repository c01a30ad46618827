"""Tries random changes of the corpus, without knowledge of the code: where atheris is not available."""

import random
import time
from collections.abc import Callable, Sequence

_WORDS = (
    b"\r\n",
    b"\n",
    b"\0",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\",
    b"\xff",
    b"0",
    b"-1",
    b"chunked",
    b"99999999999999999999",
)


def mutate(target: Callable[[bytes], None], corpus: Sequence[bytes], seconds: float, seed: int | None) -> int:
    """Call *target* with changed inputs for *seconds*; return how often. Raises what it raises, with the input.

    *seed*: None for other inputs each time.
    """
    choice = random.Random(seed)
    ends_s = time.monotonic() + seconds
    calls = 0
    while time.monotonic() < ends_s:
        data = bytearray(choice.choice(corpus) if corpus else b"")
        for _ in range(choice.randint(1, 8)):
            _change(data, choice, corpus)
        calls += 1
        try:
            target(bytes(data))
        except Exception as exc:
            exc.add_note(f"input: {bytes(data)!r}")
            raise
    return calls


def _change(data: bytearray, choice: random.Random, corpus: Sequence[bytes]) -> None:
    at = choice.randint(0, len(data))
    end = min(len(data), at + choice.randint(0, 16))
    match choice.randrange(5):
        case 0:
            del data[at:end]
        case 1:
            data[at:at] = choice.choice(_WORDS) * choice.choice((1, 1, 1, 50))
        case 2:
            data[at:end] = bytes(choice.randrange(256) for _ in range(end - at))
        case 3:
            data[at:at] = data[at:end] * choice.randint(1, 9)
        case _:
            other = choice.choice(corpus) if corpus else b""
            data[at:end] = other[: choice.randint(0, len(other))]
