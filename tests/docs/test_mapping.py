"""The mapping table is what the code does."""

from tests.docs import mapping
from tests.docs.pages import block


def test_page_has_the_table_that_the_code_makes() -> None:
    assert block(mapping.PAGE, "mapping") == mapping.table()


def test_page_has_the_keys_that_the_code_reads() -> None:
    assert block(mapping.PAGE, "keys") == mapping.keys_table()


def test_page_has_the_metrics_of_the_code() -> None:
    assert block(mapping.PAGE, "metrics") == mapping.metrics_table()
