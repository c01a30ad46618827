"""Limits property tests that are slow per example to fewer examples."""

from hypothesis import settings

FAST = settings(max_examples=60)
