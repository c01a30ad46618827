import tomllib

from telemetry_forwarder.core.version import VERSION
from tests.support.paths import PROJECT


def test_version_is_that_of_the_package() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
