import pytest

from telemetry_forwarder.endpoints.options import OPTIONS, OWN, SHARED, find, names

OUR_NAME = "TELEMETRY_FORWARDER_TIMEOUT"
OUR_LOGS_NAME = "TELEMETRY_FORWARDER_LOGS_TIMEOUT"
SHARED_NAME = "OTEL_EXPORTER_OTLP_TIMEOUT"
SHARED_LOGS_NAME = "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT"


def test_every_option_has_one_name_for_all_signals_and_one_for_each() -> None:
    assert len(names()) == 4 * len(OPTIONS)
    assert {OUR_NAME, OUR_LOGS_NAME} <= names()


def test_first_name_that_is_set_wins() -> None:
    environ: dict[str, str] = {}
    for name in (SHARED_NAME, SHARED_LOGS_NAME, OUR_NAME, OUR_LOGS_NAME):
        environ[name] = f" {name} "

        assert find(environ, "logs", "TIMEOUT", OWN + SHARED) == (name, name)


def test_other_prefixes_are_not_looked_up() -> None:
    assert find({SHARED_NAME: "1"}, "logs", "TIMEOUT", OWN) == ("", "")
    assert find({OUR_NAME: "1"}, "logs", "TIMEOUT", SHARED) == ("", "")


@pytest.mark.parametrize(("text", "value"), [("''", ""), ('" 1 "', "1"), ("'1", "'1"), ("'", "'")])
def test_matching_quotes_are_removed(text: str, value: str) -> None:
    assert find({OUR_NAME: text}, "logs", "TIMEOUT", OWN) == (OUR_NAME if value else "", value)
