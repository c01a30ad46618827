"""What can go wrong around the extension, played with the real process, and what it cost.

`python -m tests.chaos --runs 20` prints the table; `tests/chaos/test_chaos.py` plays each scenario three times.
`--soak` sends a million records through one life, `--figures` measures the end and a dead endpoint.
"""
