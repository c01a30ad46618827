from urllib.parse import urlsplit

import pytest

from telemetry_forwarder.endpoints.proxies import find_proxy


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "https://h", ""),
        ({"HTTPS_PROXY": "http://p:3128"}, "https://h", "http://p:3128"),
        ({"https_proxy": "p:3128", "HTTPS_PROXY": "http://q"}, "https://h", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p"}, "http://h", ""),
        ({"HTTP_PROXY": "http://p"}, "http://h", "http://p"),
        ({"ALL_PROXY": "http://p"}, "http://h", "http://p"),
        ({"ALL_PROXY": "http://p"}, "http://localhost:4318", ""),
        ({"ALL_PROXY": "http://p"}, "http://127.0.0.1:4318", ""),
        ({"ALL_PROXY": "http://p"}, "http://[::1]:4318", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "*"}, "http://h", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "x, H"}, "http://h", ""),
        ({"ALL_PROXY": "http://p", "no_proxy": ".example.com"}, "http://a.example.com", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "*.example.com"}, "http://example.com", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "example.com"}, "http://badexample.com", "http://p"),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "h:443"}, "https://h", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "h:80"}, "https://h", "http://p"),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, "http://h", "http://p"),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "fd00::1"}, "http://[fd00::1]", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": ""}, "http://h", "http://p"),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "*:443"}, "https://h", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "h:0443"}, "https://h", ""),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "h:" + "9" * 4_301}, "https://h", "http://p"),
    ],
)
def test_proxy_is_chosen_by_scheme_and_no_proxy(environ: dict[str, str], url: str, proxy: str) -> None:
    problems: list[str] = []

    assert find_proxy(urlsplit(url), environ, problems) == proxy
    assert problems == []


@pytest.mark.parametrize(
    ("entries", "number", "proxy"),
    [
        ("a:²", 1, "http://p"),
        ("h:443,a:x", 2, ""),
        ("a:,b:\udcff", 1, "http://p"),
        ("b,10.0.0.0/²", 2, "http://p"),
        ("http://h", 1, "http://p"),
        ("1.2.3.4/33,h", 1, ""),
    ],
)
def test_invalid_entry_of_no_proxy_is_reported_once_and_the_others_used(entries: str, number: int, proxy: str) -> None:
    problems: list[str] = []

    for name in ("NO_PROXY", "NO_PROXY", "no_proxy"):
        assert find_proxy(urlsplit("https://h"), {"ALL_PROXY": "http://p", name: entries}, problems) == proxy

    assert problems == [
        f"{name}: entry {number} has an invalid port or network; using the other entries instead"
        for name in ("NO_PROXY", "no_proxy")
    ]


@pytest.mark.parametrize(
    "value",
    [
        "socks5://me:SECRET@p",
        "https://me:SECRET@p",
        "http://",
        "http://p:x",
        "http://p:99999",
        "http://ü",
        "http://SECRET/x@proxy.invalid:3128",
        "SECRET#x@proxy.invalid:3128",
        "http://me:1234?SECRET@proxy.invalid:3128",
        "http://sec.ret/x@proxy.invalid:3128",
    ],
)
def test_invalid_proxy_is_reported_once_without_its_value(value: str) -> None:
    problems: list[str] = []

    assert find_proxy(urlsplit("https://h"), {"HTTPS_PROXY": value}, problems) == ""
    assert find_proxy(urlsplit("https://h"), {"HTTPS_PROXY": value}, problems) == ""
    assert problems == ["HTTPS_PROXY: is not the http:// URL of a proxy; using no proxy instead"]
