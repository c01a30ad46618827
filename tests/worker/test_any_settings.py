"""No value of any variable stops forwarding, and each invalid one is named in one warning."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry_forwarder.settings import PREFIX
from tests.support.any_settings import NAMES, forward_once, is_about_delivery, try_combination
from tests.support.collector import FakeCollector

ENDPOINT = f"{PREFIX}ENDPOINT"
OTEL = "OTEL_EXPORTER_OTLP_"
FAR = "http://10.255.255.1:1"
PROXY = {ENDPOINT: FAR, "ALL_PROXY": "http://127.0.0.1:1"}

# As Python reads it from an environment: any bytes but NUL, as UTF-8 with surrogates.
ANY_BYTES = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ANY_NUMBER = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.text("0123456789", min_size=4_290, max_size=4_310),
    st.text(st.characters(categories=["Nd", "Nl", "No"]), min_size=1, max_size=5),
)
ANY_VALUE = (
    ANY_BYTES
    | ANY_TEXT
    | ANY_NUMBER
    | st.sampled_from(["/", "http://", "a:", "a="]).flatmap(
        lambda start: (ANY_BYTES | ANY_NUMBER).map(lambda rest: start + rest)
    )
)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    last_resort = logging.lastResort
    yield
    logging.lastResort = last_resort


@given(name=st.sampled_from(NAMES), value=ANY_VALUE, has_proxy=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_of_any_variable_is_at_most_one_warning_with_its_name(
    tmp_path: Path, name: str, value: str, has_proxy: bool
) -> None:
    environ = {f"{PREFIX}SPOOL_DIR": str(tmp_path), ENDPOINT: "https://127.0.0.1:1"}
    environ |= (PROXY if has_proxy else {}) | {name: value}

    # Without time, nothing is looked up or sent.
    lines = forward_once(environ, 0.0)

    warnings = [line for line in lines if line.startswith("WARN") and not is_about_delivery(line)]
    assert [line for line in warnings if name not in line] == []
    assert len(warnings) <= 1


def test_combinations_of_hostile_values_do_not_stop_forwarding(collector: FakeCollector, tmp_path: Path) -> None:
    """`python -m tests.support.any_settings` tries more."""
    wrong = {number: try_combination(number, collector.endpoint, tmp_path / str(number)) for number in range(120)}

    assert {number: problem for number, problem in wrong.items() if problem} == {}


INVALID = [
    *[{**PROXY, "NO_PROXY": entries} for entries in ("a:²", "a:" + "9" * 4_300 + "x", "10.0.0.0/²", "a:,b:x,c:\udcff")],
    *[
        {**PROXY, "ALL_PROXY": url}
        for url in ("http://p:" + "9" * 4_300, "http://p:²", "http://p/\udcff", "http://\udcff")
    ],
    *[
        {name: url}
        for name in (ENDPOINT, f"{OTEL}ENDPOINT", f"{PREFIX}LOGS_ENDPOINT", f"{OTEL}METRICS_ENDPOINT")
        for url in (
            *("http://127.0.0.1:1/\udcff", "http://127.0.0.1:1/?\udcff=x", "http://u:\udcff@127.0.0.1:1/"),
            *(
                "http://\udcff@127.0.0.1:1",
                "http://127.0.0.1:" + "9" * 4_300,
                "http://127.0.0.1:²/",
                "http://256.1.1.1",
            ),
        )
    ],
    *[{f"{OTEL}HEADERS": pairs} for pairs in ("a=\udcff", "\udcff=a", "a,b,c=d,e", "=,=", "a,host=x,content-type=y")],
    *[{f"{PREFIX}TRACES_HEADERS": pairs} for pairs in ("a\u2028=b,é", ",".join("x" * 40))],
    *[{f"{PREFIX}TIMEOUT": text} for text in ("nan", "inf", "-1", "9" * 4_300, "²", "1e999", "\udcff")],
    *[{f"{PREFIX}PORT": text} for text in ("²", "9" * 4_300, "-1", "\udcff")],
    *[{"OTEL_RESOURCE_ATTRIBUTES": text} for text in ("a,b,c=d", "=", "\udcff")],
    *[{f"{PREFIX}SPOOL_DIR": path} for path in ("/dev/null/x", "/" + "x" * 5_000, "\udcff")],
    *[
        {ENDPOINT: "https://127.0.0.1:1", name: path}
        for name in (f"{PREFIX}CERTIFICATE", f"{OTEL}CERTIFICATE", "SSL_CERT_FILE", f"{PREFIX}LOGS_CLIENT_CERTIFICATE")
        for path in ("/nowhere/\udcff", "/" + "x" * 5_000, "/etc")
    ],
    {ENDPOINT: "https://127.0.0.1:1", f"{OTEL}CLIENT_KEY": "/nowhere"},
]


@pytest.mark.parametrize("variables", INVALID, ids=lambda variables: f"{list(variables.items())[-1]!a}"[:60])
def test_invalid_value_is_one_warning_that_names_the_variable(tmp_path: Path, variables: dict[str, str]) -> None:
    name = [*variables][-1]
    endpoint = {} if name.endswith("ENDPOINT") else {ENDPOINT: "http://127.0.0.1:1"}

    lines = forward_once({f"{PREFIX}SPOOL_DIR": str(tmp_path)} | endpoint | variables, 0.0)

    about = [line for line in lines if line.startswith("WARN") and name in line]
    assert len(about) == 1, about
    assert " spooled 1" in lines[-1] or " dropped 1 " in lines[-1]


VALID = [
    {**PROXY, "NO_PROXY": "a:80, .b:0443,c:" + "0" * 5_000 + "1,10.0.0.0/8,[::1],*.d"},
    {**PROXY, "ALL_PROXY": "http://u:%ff@127.0.0.1:1"},
    {**PROXY, "ALL_PROXY": "http://u%C3%A9:%C3%A9@127.0.0.1:1"},
    {f"{PREFIX}HEADERS": "a=%C3%A9,,b=c=d"},
    {"OTEL_SERVICE_NAME": "\udcff"},
    {"AWS_LAMBDA_FUNCTION_NAME": "\udcff", "AWS_LAMBDA_FUNCTION_VERSION": "\udcff"},
    {f"{PREFIX}TIMEOUT": "1e308"},
]


@pytest.mark.parametrize("variables", VALID, ids=lambda variables: f"{list(variables.items())[-1]!a}"[:60])
def test_unusual_value_that_is_valid_causes_no_warning(tmp_path: Path, variables: dict[str, str]) -> None:
    environ = {f"{PREFIX}SPOOL_DIR": str(tmp_path), ENDPOINT: "http://127.0.0.1:1"} | variables

    lines = forward_once(environ, 0.0)

    assert [line for line in lines if line.startswith("WARN")] == []
