"""The README says what the code does."""

import re
from pathlib import Path

from telemetry_forwarder.config import PREFIX
from tests import mapping
from tests.mapping import README

_SOURCES = README.parent / "telemetry_forwarder"


def test_mapping_table_is_what_the_code_does() -> None:
    assert mapping.written(README.read_text()) == mapping.drawn()


def test_settings_table_has_every_setting_and_no_other() -> None:
    read = re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', (_SOURCES / "config.py").read_text())
    ours = {PREFIX + name for name in read}
    endpoint = {
        PREFIX + name
        for name in re.findall(
            r'(?:server|find)\((?:signal, )?"([A-Z_]+)"', (_SOURCES / "endpoints.py").read_text()
        )
    }

    rows = [line for line in README.read_text().splitlines() if line.startswith("| `")]
    documented = set(re.findall(rf"`({PREFIX}\w+)`", " ".join(row.split("|")[1] for row in rows)))

    assert len(ours) > 20
    assert documented == ours | endpoint


def test_every_promise_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(tests/test_\w+\.py)(?:::(\w+))?`", README.read_text()))

    missing = [(path, name) for path, name in named if not _is_there(README.parent / path, name)]

    assert len(named) > 15
    assert missing == []


def _is_there(path: Path, name: str) -> bool:
    return path.is_file() and (not name or f"def {name}(" in path.read_text())


def test_every_module_has_its_place_in_the_architecture() -> None:
    modules = {
        ".".join(path.relative_to(_SOURCES).with_suffix("").parts)
        for path in _SOURCES.rglob("*.py")
        if path.name != "__init__.py"
    }

    _, _, section = README.read_text().partition("| idea | where |")
    rows = section.partition("\n\n")[0]
    named = re.findall(r"`([\w.]+)`", rows)

    assert sorted(named) == sorted(modules)
