"""Every recipe for a back end sets variables that exist and are accepted, and says where its facts are from."""

import re
from pathlib import Path

import pytest

from telemetry_forwarder.endpoints import options
from telemetry_forwarder.endpoints.endpoint import read_endpoints
from telemetry_forwarder.otlp.aggregator import TEMPORALITIES
from telemetry_forwarder.otlp.resource import describe_function
from telemetry_forwarder.settings import Settings, names
from tests.docs.backends import INDEX, RECIPES, variables
from tests.docs.pages import DOCS, README, links, rows

_TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_SHARED = {
    name
    for row in rows(DOCS / "settings.md", "## Variables of OpenTelemetry and of the system")
    for name in re.findall(r"`([A-Z_]+)`", row[0])
}
_KNOWN = names() | options.names() | _SHARED
_SIGNALS = {"logs": "logs", "spans": "traces", "metrics": "metrics"}
_each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 18


@_each_recipe
def test_every_variable_exists(recipe: Path) -> None:
    named = set(re.findall(r"\b(?:TELEMETRY_FORWARDER|OTEL)_[A-Z_]+[A-Z]\b", recipe.read_text()))

    assert variables(recipe).keys() <= named
    assert named <= _KNOWN


@_each_recipe
def test_variables_are_accepted_without_a_warning(recipe: Path) -> None:
    environ = variables(recipe)
    settings = Settings(environ)
    problems = list(settings.problems)

    endpoints = read_endpoints(environ, problems, signals=[_SIGNALS[name] for name in settings.signals])
    describe_function(environ, {}, problems)

    assert problems == []
    assert environ.get(_TEMPORALITY, "delta") in TEMPORALITIES
    assert {endpoint.url.partition(":")[0] for endpoint in endpoints.values()} <= {"http", "https"}


@_each_recipe
def test_plain_http_is_for_private_names_only(recipe: Path) -> None:
    endpoints = read_endpoints(variables(recipe), [])

    plain = {endpoint.url for endpoint in endpoints.values() if endpoint.is_insecure}
    assert {url for url in plain if not re.match(r"http://(?:[a-z]+\.internal|localhost):", url)} == set()


@_each_recipe
def test_recipe_is_short_and_answers_each_question(recipe: Path) -> None:
    text = recipe.read_text()

    assert len(text.splitlines()) <= 40
    for question in ("Signals", "Temporality", "Limits", "Look for"):
        assert f"* **{question}**: " in text


@_each_recipe
def test_source_and_date_are_named(recipe: Path) -> None:
    *_, last = recipe.read_text().rstrip("\n").rpartition("\n")

    assert re.fullmatch(r"Source, read on 20\d\d-\d\d-\d\d: (?:\[[^]]+\]\(https://[^)]+\)(?:, )?)+\.", last)


def test_index_lists_every_recipe_once() -> None:
    listed = [link for row in rows(INDEX, "# Back ends") for link in re.findall(r"\]\(([^)]+)\)", row[0])]

    assert sorted(listed) == [recipe.name for recipe in RECIPES]


def test_readme_leads_to_the_index() -> None:
    assert str(INDEX.relative_to(README.parent)) in links(README)
