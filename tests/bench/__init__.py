"""Benchmarks: `python -m tests.bench [startup|shares|records|memory|flush|chaos|all]`."""
