"""Draws random numbers for pauses, so that environments that failed at the same moment return at different ones."""

# Not `random`: every environment restored from one snapshot would have its state, and so the same pauses.
from posix import urandom


def random_fraction() -> float:
    """Return a number from 0 to 1, independent of those in all other environments."""
    return int.from_bytes(urandom(4)) / 2.0**32
