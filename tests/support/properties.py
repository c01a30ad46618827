"""How properties are tested: the same few examples each time, so that a run says the same as the one before."""

from hypothesis import settings

FAST = settings(max_examples=60)
