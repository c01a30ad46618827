import string
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS
from telemetry_forwarder.endpoints.endpoint import Endpoint, read_endpoints

_OTEL = "OTEL_EXPORTER_OTLP_"
_OURS = "TELEMETRY_FORWARDER_"


def read(environ: dict[str, str], **options: Any) -> tuple[dict[str, Endpoint], list[str]]:
    problems: list[str] = []
    return read_endpoints(environ, problems, **options), problems


def logs(environ: dict[str, str], **options: Any) -> Endpoint:
    return read(environ, **options)[0][LOGS]


def urls(environ: dict[str, str], **options: Any) -> list[str]:
    return [endpoint.url for endpoint in read(environ, **options)[0].values()]


def test_without_settings_the_default_of_the_specification_is_used_and_logged_once() -> None:
    found, problems = read({})

    assert found == {
        LOGS: Endpoint(LOGS, "http://localhost:4318/v1/logs"),
        SPANS: Endpoint(SPANS, "http://localhost:4318/v1/traces"),
        METRICS: Endpoint(METRICS, "http://localhost:4318/v1/metrics"),
    }
    assert problems == [
        "TELEMETRY_FORWARDER_ENDPOINT: no endpoint is set for logs, traces, metrics; "
        "using http://localhost:4318 instead"
    ]


def test_options_have_the_defaults_of_the_specification_except_compression() -> None:
    endpoint = Endpoint(LOGS, "https://h/v1/logs")

    assert (endpoint.timeout_s, endpoint.compression, endpoint.protocol) == (10.0, "gzip", "http/protobuf")
    assert (endpoint.certificate, endpoint.client_key, endpoint.client_certificate) == ("", "", "")
    assert not endpoint.is_insecure


def test_only_requested_signals_are_read_and_reported_missing() -> None:
    problems: list[str] = []

    found = read_endpoints({_OTEL + "LOGS_ENDPOINT": "https://h"}, problems, signals=[LOGS])

    assert (list(found), problems) == ([LOGS], [])


def test_signal_without_an_endpoint_is_named_in_the_problem() -> None:
    _, problems = read({_OTEL + "LOGS_ENDPOINT": "https://h", _OTEL + "TRACES_ENDPOINT": "https://h"})

    assert problems == [
        "TELEMETRY_FORWARDER_ENDPOINT: no endpoint is set for metrics; using http://localhost:4318 instead"
    ]


@pytest.mark.parametrize(
    ("generic", "url"),
    [
        ("http://h:4318", "http://h:4318/v1/logs"),
        ("http://h:4318/", "http://h:4318/v1/logs"),
        ("  https://H.example/otlp//  ", "https://h.example/otlp/v1/logs"),
        ("https://h/otlp?key=1", "https://h/otlp/v1/logs?key=1"),
        ("https://h/otlp#part", "https://h/otlp/v1/logs"),
        ("HTTPS://h", "https://h/v1/logs"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/logs"),
        ("http://bücher.example/ü x", "http://xn--bcher-kva.example/%C3%BC%20x/v1/logs"),
        ("http://h/a%20b", "http://h/a%20b/v1/logs"),
    ],
)
def test_path_of_the_signal_is_appended_to_the_generic_endpoint(generic: str, url: str) -> None:
    assert logs({_OTEL + "ENDPOINT": generic}).url == url


@pytest.mark.parametrize("path", ["/v1/traces", "/base/v1/logs/", "/v1/metrics"])
def test_a_base_url_with_the_path_of_a_signal_is_named_once(path: str) -> None:
    problems: list[str] = []

    read_endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": f"https://user:secret@host{path}"}, problems)

    ending = path.removeprefix("/base").rstrip("/")
    complaint = f"the base URL ends in {ending}, and /v1/<signal> is appended to it"
    assert problems == [f"OTEL_EXPORTER_OTLP_ENDPOINT: {complaint}; using host{ending}/v1/<signal> instead"]


def test_the_url_of_a_signal_may_end_in_its_path() -> None:
    problems: list[str] = []
    names = {f"OTEL_EXPORTER_OTLP_{name.upper()}_ENDPOINT": f"https://host/v1/{name}" for name in SIGNALS}

    read_endpoints(names, problems)

    assert problems == []


@pytest.mark.parametrize(
    ("own", "url"),
    [
        ("https://h/custom/path", "https://h/custom/path"),
        ("https://h/v1/logs/", "https://h/v1/logs/"),
        ("https://h", "https://h/"),
        ("https://h?a=b", "https://h/?a=b"),
    ],
)
def test_endpoint_of_a_signal_is_used_unchanged(own: str, url: str) -> None:
    assert logs({_OTEL + "LOGS_ENDPOINT": own}).url == url


def test_own_names_take_precedence_over_shared_ones_and_signal_names_over_generic_ones() -> None:
    environ = {_OTEL + "ENDPOINT": "http://a"}
    assert urls(environ) == ["http://a/v1/logs", "http://a/v1/traces", "http://a/v1/metrics"]

    environ[_OTEL + "LOGS_ENDPOINT"] = "http://b/x"
    assert urls(environ) == ["http://b/x", "http://a/v1/traces", "http://a/v1/metrics"]

    environ[_OURS + "ENDPOINT"] = "http://c"
    assert urls(environ) == ["http://c/v1/logs", "http://c/v1/traces", "http://c/v1/metrics"]

    environ[_OURS + "METRICS_ENDPOINT"] = "http://d/y"
    assert urls(environ) == ["http://c/v1/logs", "http://c/v1/traces", "http://d/y"]


def test_empty_value_is_unset() -> None:
    environ = {_OURS + "ENDPOINT": "", _OTEL + "LOGS_ENDPOINT": " ", _OTEL + "ENDPOINT": "http://a"}

    assert logs(environ).url == "http://a/v1/logs"


def test_every_option_is_read_under_its_names() -> None:
    environ = {
        _OTEL + "ENDPOINT": "https://h",
        _OTEL + "TIMEOUT": "2500",
        _OTEL + "LOGS_TIMEOUT": "1500",
        _OTEL + "COMPRESSION": "none",
        _OTEL + "CERTIFICATE": "/ca.pem",
        _OTEL + "CLIENT_KEY": "/key.pem",
        _OTEL + "CLIENT_CERTIFICATE": "/client.pem",
        _OURS + "METRICS_COMPRESSION": "GZIP",
        _OURS + "TRACES_CERTIFICATE": "/other.pem",
    }
    files: Any = {"client_key": "/key.pem", "client_certificate": "/client.pem"}

    found, problems = read(environ)

    assert found == {
        LOGS: Endpoint(LOGS, "https://h/v1/logs", timeout_s=1.5, compression="none", certificate="/ca.pem", **files),
        SPANS: Endpoint(
            SPANS, "https://h/v1/traces", timeout_s=2.5, compression="none", certificate="/other.pem", **files
        ),
        METRICS: Endpoint(
            METRICS, "https://h/v1/metrics", timeout_s=2.5, compression="gzip", certificate="/ca.pem", **files
        ),
    }
    assert problems == []


def test_variables_that_set_the_files_are_known() -> None:
    environ = {
        _OURS + "LOGS_CERTIFICATE": "/ca.pem",
        _OTEL + "CLIENT_CERTIFICATE": "/client.pem",
        "SSL_CERT_FILE": "/system.pem",
        _OTEL + "ENDPOINT": "https://h",
    }

    found, problems = read(environ)

    assert [dict(found[signal].variables) for signal in (LOGS, SPANS)] == [
        {"CERTIFICATE": certificate, "CLIENT_KEY": "", "CLIENT_CERTIFICATE": _OTEL + "CLIENT_CERTIFICATE"}
        for certificate in (_OURS + "LOGS_CERTIFICATE", "SSL_CERT_FILE")
    ]
    assert problems == []


def test_client_key_without_a_certificate_is_reported() -> None:
    _, problems = read({_OTEL + "ENDPOINT": "https://h", _OTEL + "CLIENT_KEY": "/key.pem"})

    assert problems == ["OTEL_EXPORTER_OTLP_CLIENT_KEY: is set without a CLIENT_CERTIFICATE; using neither instead"]


def test_ssl_cert_file_is_trusted_if_no_certificate_is_set() -> None:
    environ = {"SSL_CERT_FILE": "/all.pem", _OTEL + "ENDPOINT": "https://h"}

    assert logs(environ).certificate == "/all.pem"
    assert logs(environ | {_OTEL + "CERTIFICATE": "/mine.pem"}).certificate == "/mine.pem"


class TestTwoServers:
    """Our endpoint and the shared endpoint are different servers."""

    ENVIRON: ClassVar = {
        _OTEL + "ENDPOINT": "http://localhost:4317",
        _OTEL + "HEADERS": "key=secret",
        _OTEL + "PROTOCOL": "grpc",
        _OTEL + "CERTIFICATE": "/private.pem",
        _OTEL + "TIMEOUT": "3000",
    }

    def test_options_of_the_other_server_are_not_used(self) -> None:
        found, problems = read(self.ENVIRON | {_OURS + "ENDPOINT": "https://mine"})

        assert found[LOGS] == Endpoint(LOGS, "https://mine/v1/logs", timeout_s=3.0)
        assert problems == []

    def test_shared_options_are_used_if_both_names_are_the_same_server(self) -> None:
        environ = self.ENVIRON | {
            _OTEL + "PROTOCOL": "http/protobuf",
            _OURS + "LOGS_ENDPOINT": "http://localhost:4317/x",
        }

        assert logs(environ).headers == {"key": "secret"}

    @pytest.mark.parametrize("ours", ["localhost:4317", "'http://localhost:4317'"])
    def test_same_server_is_recognised_without_a_scheme(self, ours: str) -> None:
        environ = self.ENVIRON | {_OTEL + "PROTOCOL": "http/protobuf", _OURS + "ENDPOINT": ours}

        assert logs(environ).headers == {"key": "secret"}

    def test_shared_headers_without_a_shared_endpoint_are_used(self) -> None:
        environ = {_OURS + "ENDPOINT": "https://mine", _OTEL + "HEADERS": "key=secret"}

        assert logs(environ).headers == {"key": "secret"}


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("a=1", {"a": "1"}),
        ("Api-Key = x%20y , b=%2C", {"api-key": "x y", "b": ","}),
        ("authorization=Basic YTpi==", {"authorization": "Basic YTpi=="}),
        ("a=1;p=2", {"a": "1;p=2"}),
        ("a=+", {"a": "+"}),
        ("a=", {"a": ""}),
        ("a=1,,", {"a": "1"}),
        ("a=ü", {"a": "ü"}),
    ],
)
def test_headers_are_parsed(text: str, headers: dict[str, str]) -> None:
    found, problems = read({_OTEL + "ENDPOINT": "http://h", _OTEL + "HEADERS": text})

    assert (found[LOGS].headers, problems) == (headers, [])


def test_headers_of_a_signal_replace_the_generic_headers() -> None:
    environ = {_OTEL + "ENDPOINT": "http://h", _OTEL + "HEADERS": "a=1", _OTEL + "LOGS_HEADERS": "b=2"}

    found, _ = read(environ)

    assert [endpoint.headers for endpoint in found.values()] == [{"b": "2"}, {"a": "1"}, {"a": "1"}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SECRET", "entry 1 is not key=value; using the other entries instead"),
        ("a=1,b c=SECRET", "entry 2 is not key=value; using the other entries instead"),
        ("a=SECRET%0d%0aevil: 1", "entry 1 is not key=value; using the other entries instead"),
        ("=SECRET", "entry 1 is not key=value; using the other entries instead"),
        ("Content-Type=SECRET", "'Content-Type' is set by the extension; using its own value instead"),
        ("SECRET,a=1,,b=SECRET\udcff", "entries 1, 4 are not key=value; using the other entries instead"),
        (
            "SECRET," * 11,
            f"entries {', '.join(map(str, range(1, 11)))}, … are not key=value; using the other entries instead",
        ),
        (
            "a=1,SECRET,Connection=SECRET,Content-Type=SECRET",
            "entry 2 is not key=value and 'Connection', 'Content-Type' is set by the extension;"
            " using the other entries instead",
        ),
    ],
)
def test_invalid_header_is_reported_once_without_its_value(text: str, problem: str) -> None:
    found, problems = read({_OTEL + "ENDPOINT": "http://h", _OTEL + "HEADERS": text})

    assert problems == [f"OTEL_EXPORTER_OTLP_HEADERS: {problem}"]
    assert found[LOGS].headers.keys() <= {"a"}


def test_credentials_in_the_url_become_a_header_and_are_removed_from_the_url() -> None:
    endpoint = logs({_OTEL + "ENDPOINT": "https://me:p%40ss@h:1"})

    assert endpoint == Endpoint(LOGS, "https://h:1/v1/logs", {"authorization": "Basic bWU6cEBzcw=="})
    assert endpoint.origin == "https://h:1"


def test_authorization_header_takes_precedence_over_credentials_in_the_url() -> None:
    environ = {_OTEL + "ENDPOINT": "https://me@h", _OTEL + "HEADERS": "Authorization=x"}

    assert logs(environ).headers == {"authorization": "x"}


def test_repr_contains_no_secrets() -> None:
    environ = {
        _OTEL + "ENDPOINT": "https://me:SECRET@h",
        _OTEL + "HEADERS": "a=SECRET",
        "HTTPS_PROXY": "http://me:SECRET@p",
    }

    endpoint = logs(environ)

    assert "SECRET" not in repr(endpoint)
    assert (endpoint.proxy, endpoint.headers["a"]) == ("http://me:SECRET@p", "SECRET")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ftp://h", "ftp://h"),
        ("http://", "http://"),
        ("http://h:port", "http://h:port"),
        ("http://h:99999", "http://h:99999"),
        ("http://a b", "http://a b"),
        ("http://[::1", "http://[::1"),
        ("http://256.1.1.1", "http://256.1.1.1"),
        ("http://h/\udcff", "http://h/\udcff"),
        ("http://h/?\udcffSECRET", "http://h/"),
        ("http://\udcffSECRET:SECRET@h", "http://h"),
        ("http://me:SECRET\udcff@h", "http://h"),
        ("http://ü" + "x" * 70, "http://ü" + "x" * 70),
        ("ftp://me:SECRET@h?key=SECRET", "ftp://h"),
        ("https://user:SECRET#1@otlp.invalid", "https://***"),
        ("https://user:SECRET?x@otlp.invalid", "https://***"),
        ("https://SECRET#foo:x@otlp.invalid", "https://***"),
        ("https://user:1234#SECRET@otlp.invalid", "https://***"),
    ],
)
def test_invalid_endpoint_is_reported_once_without_its_secrets(value: str, shown: str) -> None:
    found, problems = read({_OTEL + "ENDPOINT": value})

    assert problems == [
        f"OTEL_EXPORTER_OTLP_ENDPOINT: {shown!r} is not a http:// or https:// URL; using http://localhost:4318 instead"
    ]
    assert found[LOGS].url == "http://localhost:4318/v1/logs"


@pytest.mark.parametrize(
    "value", ["me:SECRET@h", "api-key=SECRET", "SECRET", "eyJh.eyJS.SECRET", "a.b?SECRET", "//h", "h:0x1", "h:99999"]
)
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_problem_shows_nothing_of_an_endpoint_without_a_scheme(value: str, protocol: str) -> None:
    _, problems = read({_OTEL + "ENDPOINT": value, _OTEL + "PROTOCOL": protocol})

    assert not [problem for problem in problems if "SECRET" in problem]
    if protocol != "grpc":
        assert problems == [
            "OTEL_EXPORTER_OTLP_ENDPOINT: is not a http:// or https:// URL; using http://localhost:4318 instead"
        ]


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("otlp.example.com:4318", "https://otlp.example.com:4318"),
        ("otlp.example.com", "https://otlp.example.com"),
        ("otlp.example.com:8443/base", "https://otlp.example.com:8443"),
        ("1.1.1.1", "https://1.1.1.1"),
        ("10.1.2.3:80", "http://10.1.2.3:80"),
        ("[fd00::1]:9000", "http://[fd00::1]:9000"),
        ("localhost", "http://localhost"),
        ("collector:9000", "http://collector:9000"),
        ("collector.internal:443", "https://collector.internal:443"),
        ("collector.ns.svc.cluster.local", "http://collector.ns.svc.cluster.local"),
        ('"otlp.example.com"', "https://otlp.example.com"),
    ],
)
def test_scheme_is_added_to_an_endpoint_without_one_and_reported_once(value: str, origin: str) -> None:
    found, problems = read({_OTEL + "ENDPOINT": value})

    assert {endpoint.origin for endpoint in found.values()} == {origin}
    assert problems == [f"OTEL_EXPORTER_OTLP_ENDPOINT: has neither http:// nor https://; using {origin} instead"]


def test_path_of_an_endpoint_without_a_scheme_is_kept() -> None:
    assert logs({_OTEL + "ENDPOINT": "h:4318/base"}).url == "http://h:4318/base/v1/logs"


@pytest.mark.parametrize("value", ['"https://h"', "'https://h'", "' https://h '"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_quotes_around_an_endpoint_are_removed(value: str, protocol: str) -> None:
    found, problems = read({_OTEL + "ENDPOINT": value, _OTEL + "PROTOCOL": protocol})

    assert (found[LOGS].origin, problems) == ("https://h", [])


@pytest.mark.parametrize(
    ("value", "timeout_s", "problems"),
    [
        ("10000", 10.0, []),
        ("250.5", 0.2505, []),
        ("0", 10.0, []),
        ("100", 0.1, []),
        ("5", 5.0, ["'5' is too short for milliseconds; using 5 seconds instead"]),
        ("0.5", 0.5, ["'0.5' is too short for milliseconds; using 0.5 seconds instead"]),
        ("-1", 10.0, ["'-1' is not a number of milliseconds; using 10000 instead"]),
        ("nan", 10.0, ["'nan' is not a number of milliseconds; using 10000 instead"]),
        ("inf", 10.0, ["'inf' is not a number of milliseconds; using 10000 instead"]),
        ("10s", 10.0, ["'10s' is not a number of milliseconds; using 10000 instead"]),
    ],
)
def test_timeout_is_in_milliseconds_or_in_seconds_if_implausibly_short(
    value: str, timeout_s: float, problems: list[str]
) -> None:
    found, reported = read({_OTEL + "ENDPOINT": "http://h", _OTEL + "TIMEOUT": value})

    assert found[LOGS].timeout_s == timeout_s
    assert reported == [f"OTEL_EXPORTER_OTLP_TIMEOUT: {problem}" for problem in problems]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("COMPRESSION", "deflate", "'deflate' is not one of gzip, none; using gzip instead"),
        ("PROTOCOL", "smtp", "'smtp' is not one of http/protobuf, grpc, http/json; using http/protobuf instead"),
        ("PROTOCOL", "http/json", "'http/json' is not supported; using http/protobuf instead"),
    ],
)
def test_invalid_choice_is_one_problem_and_the_default_is_used(name: str, value: str, problem: str) -> None:
    found, problems = read({_OTEL + "ENDPOINT": "http://h", _OTEL + name: value})

    assert found[LOGS] == Endpoint(LOGS, "http://h/v1/logs")
    assert problems == [f"OTEL_EXPORTER_OTLP_{name}: {problem}"]


class TestGrpc:
    PROTOCOL: ClassVar = {_OTEL + "PROTOCOL": "grpc"}

    @pytest.mark.parametrize(
        ("environ", "url", "is_insecure"),
        [
            ({_OTEL + "ENDPOINT": "http://h:4317"}, "http://h:4317/", True),
            ({_OTEL + "LOGS_ENDPOINT": "https://h:4317"}, "https://h:4317/", False),
            ({_OTEL + "ENDPOINT": "h:4317"}, "https://h:4317/", False),
            ({_OTEL + "ENDPOINT": "h:4317", _OTEL + "INSECURE": "True"}, "http://h:4317/", True),
            ({_OTEL + "ENDPOINT": "https://h", _OTEL + "INSECURE": "true"}, "https://h/", False),
        ],
    )
    def test_scheme_or_otherwise_insecure_selects_tls(
        self, environ: dict[str, str], url: str, is_insecure: bool
    ) -> None:
        endpoint = logs(environ | self.PROTOCOL)

        assert (endpoint.url, endpoint.is_insecure, endpoint.protocol) == (url, is_insecure, "grpc")

    def test_headers_that_grpc_cannot_send_are_one_problem_and_left_out(self) -> None:
        headers = "a=ü,b-bin=x,grpc-c=x,d!=x,te=x,Keep-Alive=x,te-x=1,bin=2,e=x y"

        found, problems = read({_OTEL + "ENDPOINT": "http://h", _OTEL + "HEADERS": headers} | self.PROTOCOL)

        assert {tuple(endpoint.headers.items()) for endpoint in found.values()} == {
            (("te-x", "1"), ("bin", "2"), ("e", "x y"))
        }
        assert problems == [
            "OTEL_EXPORTER_OTLP_HEADERS: 'a', 'b-bin', 'grpc-c', 'd!', 'te', 'keep-alive' cannot be sent over gRPC; "
            "using the other entries instead"
        ]
        assert logs({_OTEL + "ENDPOINT": "http://h", _OTEL + "HEADERS": headers}).headers.keys() > {"a", "grpc-c"}

    def test_default_port_is_4317(self) -> None:
        found, problems = read(self.PROTOCOL)

        assert found[LOGS].url == "http://localhost:4317/"
        assert problems == [
            "TELEMETRY_FORWARDER_ENDPOINT: no endpoint is set for logs, traces, metrics; "
            "using http://localhost:4317 instead"
        ]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "p:3128", "NO_PROXY": "x"}, "http://p:3128"),
        ({"HTTPS_PROXY": "p:3128", "NO_PROXY": "h"}, ""),
        ({"http_proxy": "p:3128", "grpc_proxy": "p:3128", "no_grpc_proxy": "x"}, ""),
        ({"all_proxy": "p:3128"}, "http://p:3128"),
    ],
)
def test_proxy_of_the_environment_is_used(environ: dict[str, str], proxy: str, protocol: str) -> None:
    found, problems = read({_OTEL + "ENDPOINT": "https://h", _OTEL + "PROTOCOL": protocol} | environ)

    assert (found[LOGS].proxy, problems) == (proxy, [])


_NAMES = [
    f"{prefix}{signal}{option}"
    for prefix in (_OTEL, _OURS)
    for signal in ("", "LOGS_", "TRACES_", "METRICS_")
    for option in ("ENDPOINT", "HEADERS", "TIMEOUT", "COMPRESSION", "PROTOCOL", "INSECURE")
] + ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"]


# Not all of Unicode: Hypothesis needs seconds to build its tables.
_TEXT = st.text(string.printable + "\0üß漢")


@given(st.dictionaries(st.sampled_from(_NAMES), _TEXT | st.builds("https://{}".format, _TEXT)))
def test_any_values_give_every_signal_a_usable_endpoint(environ: dict[str, str]) -> None:
    found, _ = read(environ)

    for endpoint in found.values():
        url = urlsplit(endpoint.url)
        assert endpoint.url.isascii()
        assert url.scheme in ("http", "https")
        assert url.hostname
        assert url.path.startswith("/")
        assert endpoint.timeout_s > 0
