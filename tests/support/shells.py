"""The shells that are /bin/sh in Lambda's images and in other people's. Each is skipped where it is not installed."""

import shutil

import pytest

SHELLS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed: the package {name}")
    )
    for name in ("dash", "bash", "busybox")
]
