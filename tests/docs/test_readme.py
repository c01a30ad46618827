"""The README is short, complete and true; CONTRIBUTING and CHANGELOG are short."""

import re
import tomllib

import pytest

from tests.demo.books import Account, Books
from tests.demo.scenes import SCENES
from tests.docs.pages import DOCS, README, links, rows
from tests.support.paths import PRODUCT, PROJECT

_PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())


@pytest.mark.parametrize(("name", "most"), [("README.md", 150), ("CONTRIBUTING.md", 60)])
def test_page_is_short_enough_to_be_finished(name: str, most: int) -> None:
    assert len((PROJECT / name).read_text().splitlines()) <= most


def test_changelog_of_what_is_not_released_is_one_short_list() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text()

    assert re.findall(r"^###? (.*)$", text, re.MULTILINE) == ["[Unreleased]", "Added"]
    assert len(re.findall(r"^- ", text, re.MULTILINE)) <= 15


def test_sections_are_in_the_order_in_which_a_user_needs_them() -> None:
    assert re.findall(r"^## (.*)$", README.read_text(), re.MULTILINE) == [
        "Demo",
        "Install",
        "Settings",
        "How it works",
        "Documentation",
        "Development",
        "Licence",
    ]


def test_ten_settings_are_shown() -> None:
    assert len(rows(README, "## Settings")) == 10


def test_defaults_are_those_of_the_settings_page() -> None:
    cells = {row[0]: row[1] for row in rows(DOCS / "settings.md", "# Settings")}

    named = [(name, default) for name, default, _ in rows(README, "## Settings") if name in cells]

    assert len(named) == 9
    assert [default for name, default in named] == [cells[name] for name, _ in named]


def test_package_table_has_every_package() -> None:
    packages = {path.parent.name for path in PRODUCT.glob("*/__init__.py")}

    named = [row[0].strip("`") for row in rows(README, "## How it works")]

    assert sorted(named) == sorted(packages)


def test_output_of_the_demo_is_what_it_prints() -> None:
    account = Account(received=118, delivered=118, held=0, dropped=0, arrived=118)
    output = re.findall(r"^```\n(4  .*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)[0].splitlines()

    assert output[-1] == str(Books({"logs": account}, events_sent=49, events_received=49))
    assert output[0].startswith(f"4  {SCENES[3].title}  ")


def test_every_page_is_linked() -> None:
    linked = {link.removeprefix("docs/") for link in links(README) if link.startswith("docs/")}

    assert {path.name for path in DOCS.glob("*.md")} <= linked


def test_licence_and_python_are_those_of_the_project() -> None:
    project = _PYPROJECT["project"]

    assert project["license"]["text"] in README.read_text()
    assert f"Python {project['requires-python'].removeprefix('>=')} or newer" in README.read_text()
