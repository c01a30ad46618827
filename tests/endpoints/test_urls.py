from urllib.parse import urlsplit

import pytest

from telemetry_forwarder.endpoints.urls import add_scheme, authorization_header, host_and_port, parse_url, redact_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://h", "https://h"),
        ("HTTP://Me:Pass@H:80/a b?c d#e", "http://Me:Pass@h:80/a%20b?c%20d"),
        ("http://[FD00::1]:80/%20", "http://[fd00::1]:80/%20"),
        ("http://bücher/", "http://xn--bcher-kva/"),
        ("https://otlp.example/tenant@x?to=a@b", "https://otlp.example/tenant@x?to=a@b"),
        ("http://localhost/tenant@x", "http://localhost/tenant@x"),
    ],
)
def test_url_is_normalised_to_ascii_without_fragment(text: str, url: str) -> None:
    parsed = parse_url(text)

    assert parsed is not None
    assert parsed.geturl() == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "h:1",
        "ftp://h",
        "http://",
        "http://h:x",
        "http://h:70000",
        "http://a b",
        "http://ü" + "x" * 64,
        "https://user:SECRET#1@otlp.invalid",
        "https://user:SECRET?x@otlp.invalid",
        "https://user:SECRET/x@otlp.invalid",
        "https://user:1234#SECRET@otlp.invalid",
        "https://user:1234/SECRET@otlp.invalid",
        "https://SECRET#foo:x@otlp.invalid",
        "https://SECRET/x@otlp.invalid",
        "https://a:b@SECRET/x@otlp.invalid",
        "https://a:b@SEC.RET/x@otlp.invalid",
    ],
)
def test_text_that_is_not_an_http_url_is_none(text: str) -> None:
    assert parse_url(text) is None


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("h.example/path", "https://h.example/path"),
        ("h:1", "http://h:1"),
        ("10.0.0.1", "http://10.0.0.1"),
        ("collector.internal:9000", "http://collector.internal:9000"),
        ("h", "h"),
        ("me:SECRET@h", "me:SECRET@h"),
        ("https://h", "https://h"),
    ],
)
def test_scheme_is_added_to_text_that_looks_like_a_host(text: str, whole: str) -> None:
    assert add_scheme(text) == whole


@pytest.mark.parametrize(
    ("text", "netloc", "headers"),
    [
        ("http://h:1", "h:1", {}),
        ("http://@h", "h", {}),
        ("http://:@h", "h", {}),
        ("http://:token@h", "h", {"authorization": "Basic OnRva2Vu"}),
        ("http://me@h", "h", {"authorization": "Basic bWU6"}),
        ("http://a%3A:b%40@h", "h", {"authorization": "Basic YTo6YkA="}),
    ],
)
def test_credentials_become_a_header_and_are_removed(text: str, netloc: str, headers: dict[str, str]) -> None:
    assert (host_and_port(urlsplit(text)), authorization_header(urlsplit(text))) == (netloc, headers)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h:1/path", "https://h:1/path"),
        ("https://me:SECRET@h/path?key=SECRET#SECRET", "https://h/path"),
        ("https://me:SECR@ET@h/", "https://h/"),
        ("https://me:SECRET#1@h", "https://***"),
        ("https://me:SECRET?x@h/path", "https://***"),
        ("https://h/login?key=a@SECRET", "https://***"),
        ("http:// a@SECRET/@h", "http://***"),
        ("https://me:SECRET\n@h", "https://h"),
        ("https://" + "x" * 300, "https://" + "x" * 192),
        ("me:SECRET@h", ""),
        ("//me:SECRET@h", ""),
        ("api-key=SECRET", ""),
        ("SECRET?x://", ""),
        ("SEC RET://h", ""),
    ],
)
def test_redacted_url_contains_no_secrets(text: str, shown: str) -> None:
    assert redact_url(text) == shown
