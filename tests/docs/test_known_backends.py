"""The recipe of each back end has no mistake that `check` knows, and `check` knows each of them."""

import pytest

from telemetry_forwarder.check.known_backends import BACKENDS
from tests.check.test_known_backends import texts
from tests.docs.backends import variables
from tests.docs.pages import DOCS

_PLACEHOLDER_HOSTS = {
    # Their pages show an example of a host, because each project has its own.
    "managed-otlp-endpoint.example.com": "p.ingest.eu-west-1.aws.elastic.cloud",
    "s123456.ingesting-host.example.com": "s123456.eu-nbg-2.betterstackdata.com",
}
SIGNALS = ["logs", "traces", "metrics"]


def recipe(name: str) -> dict[str, str]:
    """Return the variables that the page of a back end shows."""
    shown = variables(DOCS / "backends" / f"{name.lower().replace(' ', '-')}.md")
    for example, real in _PLACEHOLDER_HOSTS.items():
        shown = {variable: value.replace(example, real) for variable, value in shown.items()}
    return shown


NAMES = [backend.name for backend in BACKENDS]


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("name", NAMES)
def test_recipe_of_its_page_causes_no_warning(name: str, signal: str) -> None:
    assert texts(recipe(name), signal) == []


@pytest.mark.parametrize("name", NAMES)
def test_missing_header_is_named(name: str) -> None:
    environ = {key: "x-other=1" if key.endswith("_HEADERS") else value for key, value in recipe(name).items()}

    (text, advice), *_ = texts(environ)

    assert text.startswith(f"{name}: the header ")
    assert text.endswith("is not set (set: x-other)")
    assert advice.startswith("Set TELEMETRY_FORWARDER_")
