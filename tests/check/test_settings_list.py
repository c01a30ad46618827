import pytest

from telemetry_forwarder.check.findings import Subject
from telemetry_forwarder.check.settings_list import endpoint_lines, settings_lines, value_of
from telemetry_forwarder.endpoints.endpoint import read_endpoints, variables_of
from telemetry_forwarder.settings import PREFIX, SETTINGS, Setting, Settings

KEY = "-----BEGIN PRIVATE KEY----- MIIsecret"


def lines(environ: dict[str, str]) -> list[str]:
    subject = Subject(read_endpoints(environ, [])["logs"], variables_of(environ, "logs"), str)
    return list(endpoint_lines(subject, environ))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_listed_with_its_default(setting: Setting) -> None:
    assert f"{PREFIX}{setting.name} = {setting.default} (default)" in list(settings_lines(Settings({}), {}, "here"))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("FLUSH", "every 010 s", "every 10 s"),
        ("FLUSH", "END", "end"),
        ("SIGNALS", "traces,logs", "logs,spans"),
        ("RAW_LINES", "yes", "true"),
    ],
)
def test_value_is_what_it_comes_to(name: str, value: str, shown: str) -> None:
    environ = {PREFIX + name: value}

    assert value_of(Settings(environ), name) == shown
    assert f"{PREFIX}{name} = {shown} (here)" in list(settings_lines(Settings(environ), environ, "here"))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("BATCH_ITEMS", "0", "1"), ("LOG_LEVEL", "loud", "info"), ("SIGNALS", "logs,prints", "logs")],
)
def test_value_that_is_not_valid_is_marked(name: str, value: str, shown: str) -> None:
    environ = {PREFIX + name: value}

    assert f"{PREFIX}{name} = {shown} (here: not valid)" in list(settings_lines(Settings(environ), environ, "here"))


def test_options_of_an_endpoint_are_listed_with_the_variables_that_set_them() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:password@h:1/base?key=secret",
        "TELEMETRY_FORWARDER_LOGS_HEADERS": "a=secret,B=secret",
        "TELEMETRY_FORWARDER_TIMEOUT": "2500",
        "SSL_CERT_FILE": "/ca.pem",
        "TELEMETRY_FORWARDER_CLIENT_CERTIFICATE": "/client.pem",
        "HTTPS_PROXY": "http://user:password@proxy:3128",
    }

    assert lines(environ) == [
        "ENDPOINT = https://h:1/base/v1/logs?*** (OTEL_EXPORTER_OTLP_ENDPOINT)",
        "HEADERS = authorization=***,a=***,b=*** (TELEMETRY_FORWARDER_LOGS_HEADERS)",
        "TIMEOUT = 2500 (TELEMETRY_FORWARDER_TIMEOUT)",
        "COMPRESSION = gzip (default)",
        "PROTOCOL = http/protobuf (default)",
        "INSECURE = false (default)",
        "CERTIFICATE = /ca.pem (SSL_CERT_FILE)",
        "CLIENT_CERTIFICATE = /client.pem (TELEMETRY_FORWARDER_CLIENT_CERTIFICATE)",
        "CLIENT_KEY = none (default)",
        "proxy = http://proxy:3128",
    ]


def test_path_of_grpc_is_not_shown_and_one_that_may_be_a_token_is_masked() -> None:
    url = "https://h/receiver/0a1b2c3d4e5f6a7b8c9d0e1f"

    assert lines({f"{PREFIX}ENDPOINT": url})[0] == f"ENDPOINT = https://h/receiver/***/v1/logs ({PREFIX}ENDPOINT)"
    grpc = lines({f"{PREFIX}ENDPOINT": url, f"{PREFIX}PROTOCOL": "grpc"})
    assert grpc[0] == f"ENDPOINT = https://h ({PREFIX}ENDPOINT)"


def test_key_that_was_set_in_the_place_of_its_path_is_not_shown() -> None:
    environ = {f"{PREFIX}CLIENT_CERTIFICATE": "/client.pem", f"{PREFIX}CLIENT_KEY": KEY}

    assert f"CLIENT_KEY = *** ({PREFIX}CLIENT_KEY)" in lines(environ)
    assert f"CLIENT_KEY = *** ({PREFIX}CLIENT_KEY)" in lines(environ | {f"{PREFIX}CLIENT_KEY": KEY.replace(" ", "")})


def test_credentials_in_the_url_are_a_header() -> None:
    environ = {f"{PREFIX}ENDPOINT": "https://user:password@h"}

    assert lines(environ)[:2] == [
        f"ENDPOINT = https://h/v1/logs ({PREFIX}ENDPOINT)",
        "HEADERS = authorization=*** (the URL)",
    ]
