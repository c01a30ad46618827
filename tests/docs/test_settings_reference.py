from telemetry_forwarder.endpoints.options import OPTIONS
from telemetry_forwarder.settings import SETTINGS
from tests.docs.settings_reference import DESCRIPTIONS, Row, describe


def test_every_setting_has_a_description_and_every_description_a_setting() -> None:
    assert [setting.name for setting in (*OPTIONS, *SETTINGS)] == list(DESCRIPTIONS)


def test_values_are_the_choices_or_the_limits() -> None:
    rows = {row.name.removeprefix("TELEMETRY_FORWARDER_"): row for row in describe()}

    assert rows["SAMPLING"][1:3] == ("all", "all, xray")
    assert rows["BATCH_ITEMS"][1:3] == ("10000", "1 to 1000000")
    assert rows["HEADERS"] == Row("TELEMETRY_FORWARDER_HEADERS", "", "", DESCRIPTIONS["HEADERS"])
