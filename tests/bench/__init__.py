"""How fast it is, measured: `python -m tests.bench [startup|shares|records|memory|flush|chaos|all]`."""
