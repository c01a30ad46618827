import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.masking import SecretMask, secret_values

RUN = 8


def mask(secret: str) -> Callable[[str], str]:
    return SecretMask([Endpoint(LOGS, "https://h/", {"api-key": secret})]).foreign


def in_base64(text: str, before: bytes = b"", after: bytes = b"") -> str:
    return base64.b64encode(before + text.encode() + after).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": lambda text: text.upper(),
    "lower case": lambda text: text.lower(),
    "swapped case": lambda text: text.swapcase(),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "JSON with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "unicode escapes": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "Python": lambda text: repr(text)[1:-1],
    "percent": lambda text: quote(text, safe=""),
    "percent, lower": lambda text: quote(text, safe="").lower(),
    "percent, everything": lambda text: "".join(f"%{each:02X}" for each in text.encode()),
    "percent twice": lambda text: quote(quote(text, safe="")),
    "form": quote_plus,
    "HTML": html.escape,
    "HTML, decimal": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#x{ord(each):X};" for each in text),
    "HTML in JSON": lambda text: json.dumps(html.escape(text))[1:-1],
    "JSON, percent-encoded": lambda text: quote(json.dumps(text)),
    "hexadecimal": lambda text: text.encode().hex(),
}
IN_BASE64: dict[str, Callable[[str], str]] = {
    "base64": in_base64,
    "unpadded": lambda text: in_base64(text).rstrip("="),
    "URL-safe": lambda text: in_base64(text).replace("+", "-").replace("/", "_"),
    "of user and password": lambda text: in_base64(text, b"user:"),
    "in something larger by 1": lambda text: in_base64(text, b"x", b"yz"),
    "in something larger by 2": lambda text: in_base64(text, b"\xff\xff", b"\xff"),
    "in lines": lambda text: base64.encodebytes(b"a" * 50 + text.encode()).decode(),
    "in lower case": lambda text: in_base64(text).lower(),
    "percent-encoded": lambda text: quote(in_base64(text), safe=""),
    "in JSON": lambda text: json.dumps(in_base64(text)).replace("/", "\\/"),
}
# Printable ASCII, as in header values, and some more. Without spaces: a run of mostly spaces is no secret.
CHARACTERS = st.sampled_from("".join(map(chr, range(33, 127))) + "éü漢")
SECRETS = st.text(CHARACTERS, min_size=RUN, max_size=60)
BODIES = st.text(max_size=80)


def leaked(secret: str, encode: Callable[[str], str], text: str) -> list[str]:
    """Return the runs of *secret* that *text* contains in that encoding."""
    runs = [secret[index : index + RUN] for index in range(len(secret) - RUN + 1)]
    return [run for run in runs if encode(run) in text]


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@settings(max_examples=20)
@given(secret=SECRETS, before=BODIES, after=BODIES, cut=st.integers(RUN, 60))
def test_no_run_of_a_secret_is_left_in_any_form(
    encode: Callable[[str], str], secret: str, before: str, after: str, cut: int
) -> None:
    for quoted in (secret, secret[:cut], secret[-cut:]):
        # With spaces: the end of the text before could be the beginning of an escape.
        masked = mask(secret)(f"{before} {encode(quoted)} {after}")

        assert not leaked(secret, encode, masked)
        assert "***" in masked


@pytest.mark.parametrize("encode", IN_BASE64.values(), ids=IN_BASE64)
@settings(max_examples=20)
@given(secret=SECRETS, before=BODIES, after=BODIES)
def test_no_run_of_a_secret_in_base64_is_left(
    encode: Callable[[str], str], secret: str, before: str, after: str
) -> None:
    # Letters next to it would be a part of the base64.
    masked = mask(secret)(f"{before} {encode(secret)} {after}")

    assert not leaked(secret, encode, masked)
    assert not leaked(in_base64(secret).rstrip("=")[:-1], str, masked)
    assert "***" in masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("invalid token: Bearer s3cret-key!", "invalid token: ***"),
        ("key s3cret-key and S3CRET-KEY!", "key*** and***"),
        ("a s3cret", "a s3cret"),
        ("token=earer+s3c", "token=***"),
        # The lower case of this letter is two characters.
        ("\u0130\u0130 s3cret-key!", "\u0130\u0130***"),
        ("s3cret-key!s3cret-key!", "***"),
        ("&nosuch; &#999999; %zz \\", "&nosuch; &#999999; %zz \\"),
        ("\\" * 99, "\\" * 99),
        ("", ""),
    ],
)
def test_only_the_secret_is_masked(text: str, masked: str) -> None:
    assert SecretMask([Endpoint(LOGS, "https://h/", {"a": "Bearer s3cret-key!"})]).foreign(text) == masked


def test_short_secrets_are_masked_only_in_what_a_server_wrote() -> None:
    """A short header value may be a word of our own lines."""
    mask = SecretMask([Endpoint(LOGS, "https://h/", {"password": "logs", "key": "0123456789"})])

    assert mask.own("(logs) does not accept 0123456789") == "(logs) does not accept ***"
    assert mask.foreign("(logs) does not accept 0123456789") == "(***) does not accept ***"


WORDS = ("production", "Production", "PROD", "eu-west-1", "team/orders", "orders_v.2024", "observability")
PLAIN_NAMES = ("x-env", "dataset", "X-Scope-OrgID", "stream-name")
OTHER_NAMES = ("api-key", "Authorization", "x-honeycomb-team", "uptrace-dsn", "x-env-key", "environmental", "x")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_ordinary_words_are_not_masked(name: str, word: str) -> None:
    endpoint = Endpoint(LOGS, f"https://h/?{name}={word}", {name: word})

    assert SecretMask([endpoint]).foreign(f"no such index: {word}") == f"no such index: {word}"


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", OTHER_NAMES)
def test_words_under_other_names_are_masked(name: str, word: str) -> None:
    for endpoint in (Endpoint(LOGS, f"https://h/?{name}={word}"), Endpoint(LOGS, "https://h/", {name: word})):
        assert word not in SecretMask([endpoint]).foreign(f"no such index: {word}")


@given(
    st.sampled_from(PLAIN_NAMES),
    st.one_of(
        st.text(CHARACTERS, min_size=21, max_size=60),
        st.binary(min_size=8, max_size=20).map(bytes.hex).filter(lambda text: any(map(str.isdigit, text))),
        st.uuids().map(str),
        st.from_regex(r"[a-z]{4}(-[a-z]{4}){3}", fullmatch=True),
        st.from_regex(r"[a-z]{15,40}", fullmatch=True),
        st.from_regex(r"[a-z]{1,8}[0-9][a-z0-9]{6,9}", fullmatch=True),
    ),
)
def test_values_that_can_be_tokens_are_masked_under_any_name(name: str, secret: str) -> None:
    assert_masked(name, secret)


@pytest.mark.parametrize(
    "secret",
    ["Bearer production", "Basic b3JkZXJz", "user:password", "hcaik_01j", "AKIAabcd", "pa55word", "p@ssword", "12345"],
)
def test_other_values_than_words_are_masked_under_any_name(secret: str) -> None:
    assert_masked("x-env", secret)


def assert_masked(name: str, secret: str) -> None:
    masked = SecretMask([Endpoint(LOGS, "https://h/", {name: secret})]).foreign(f"wrong: {secret} !")

    assert secret not in masked
    assert "***" in masked


def test_secret_of_mostly_spaces_is_masked_as_it_is() -> None:
    assert mask("a b c d e")("wrong: a b c d e") == "wrong: ***"


def test_without_secrets_nothing_is_masked() -> None:
    assert SecretMask([Endpoint(LOGS, "https://h/")]).own("(logs) does not accept") == "(logs) does not accept"


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        (Endpoint(LOGS, "https://h/", {"api-key": "s3cret"}), {"s3cret"}),
        (Endpoint(LOGS, "https://h/", {"a": "Bearer s3cret"}), {"Bearer s3cret", "s3cret"}),
        (
            Endpoint(LOGS, "https://h/", {"a": "Basic dXNlcjpzM2NyZXQ="}),
            {"Basic dXNlcjpzM2NyZXQ=", "dXNlcjpzM2NyZXQ=", "user:s3cret", "s3cret", "user"},
        ),
        (Endpoint(LOGS, "https://h/", {"a": "Basic x"}), {"Basic x"}),
        (Endpoint(LOGS, "https://h/", {"a": "Basic /////w=="}), {"Basic /////w==", "/////w=="}),
        (Endpoint(LOGS, "https://h/", {"a": "1", "b": "yes"}), set()),
        (Endpoint(LOGS, "https://h/?api_key=s3cr%20et&b=1"), {"s3cr%20et", "s3cr et"}),
        (Endpoint(LOGS, "https://h/?s3cret"), {"s3cret"}),
        (
            Endpoint(LOGS, "https://h/", proxy="http://user:s3cret@p"),
            {"Basic dXNlcjpzM2NyZXQ=", "dXNlcjpzM2NyZXQ=", "user:s3cret", "s3cret", "user"},
        ),
    ],
)
def test_secrets_are_header_values_and_their_parts_and_credentials(endpoint: Endpoint, found: set[str]) -> None:
    assert secret_values(endpoint) == found


@pytest.mark.parametrize("secret", ["s3cr", "s3cret", "s3cret-key!"])
@pytest.mark.parametrize("encode", ENCODINGS.values())
def test_secrets_of_any_length_are_masked_in_what_a_server_wrote(encode: Callable[[str], str], secret: str) -> None:
    masked = mask(secret)(f"invalid key {encode(secret)} of 4 characters")

    assert "***" in masked
    assert encode(secret) not in masked
