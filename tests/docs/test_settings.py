"""The settings table is what the code reads."""

import re
from pathlib import Path

import pytest

from telemetry_forwarder.endpoints import options
from telemetry_forwarder.settings import PREFIX, names
from tests.docs import settings
from tests.docs.pages import PAGES, block
from tests.support.paths import PROJECT


def test_page_has_the_table_that_the_code_makes() -> None:
    assert block(settings.PAGE, "settings") == settings.table(settings.meanings())


def test_every_setting_has_a_meaning() -> None:
    assert [variable for variable, meaning in settings.meanings().items() if not meaning] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(PROJECT)) for page in PAGES])
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", page.read_text()))

    assert named <= names() | options.names()
