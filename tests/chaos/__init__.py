"""Injects faults around the real extension process and checks that nothing fails or is lost.

`python -m tests.chaos --runs 20` prints the table; `tests/chaos/test_chaos.py` runs each scenario three times.
`--soak` sends a million records through one environment, `--figures` measures SHUTDOWN and a dead endpoint.
"""
