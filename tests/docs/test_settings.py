"""The settings table is what the code reads."""

from tests.docs import settings
from tests.docs.pages import block


def test_page_has_the_table_that_the_code_makes() -> None:
    assert block(settings.PAGE, "settings") == settings.table(settings.meanings())


def test_every_setting_has_a_meaning() -> None:
    assert [variable for variable, meaning in settings.meanings().items() if not meaning] == []
