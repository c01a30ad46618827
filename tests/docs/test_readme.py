"""The README says what the code does."""

import re
from pathlib import Path

from telemetry_forwarder.settings import PREFIX
from tests.docs import mapping
from tests.docs.mapping import README

_SOURCES = README.parent / "telemetry_forwarder"


def test_mapping_table_is_what_the_code_does() -> None:
    assert mapping.written(README.read_text()) == mapping.drawn()


def test_settings_table_has_every_setting_and_no_other() -> None:
    read = re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', (_SOURCES / "settings.py").read_text())
    ours = {PREFIX + name for name in read}
    endpoint = {
        PREFIX + name
        for name in re.findall(
            r'(?:server|find)\((?:signal, )?"([A-Z_]+)"', (_SOURCES / "endpoints" / "endpoint.py").read_text()
        )
    }

    rows = [line for line in README.read_text().splitlines() if line.startswith("| `")]
    documented = set(re.findall(rf"`({PREFIX}\w+)`", " ".join(row.split("|")[1] for row in rows)))

    assert len(ours) > 20
    assert documented == ours | endpoint


def test_every_promise_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]*test_\w+\.py)(?:::(\w+))?`", README.read_text()))

    missing = [(path, name) for path, name in named if not _is_there(README.parent / path, name)]

    assert len(named) > 15
    assert missing == []


def _is_there(path: Path, name: str) -> bool:
    return path.is_file() and (not name or f"def {name}(" in path.read_text())


def test_every_package_has_its_place_in_the_architecture() -> None:
    packages = {path.parent.name for path in _SOURCES.glob("*/__init__.py")}

    _, _, section = README.read_text().partition("| package | responsibility |")
    named = re.findall(r"^\| `(\w+)` ", section.partition("\n\n")[0], re.M)

    assert sorted(named) == sorted(packages)
