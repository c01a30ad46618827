import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.check.certificates import Certificate, read_certificate
from tests.check.faults import issue
from tests.support.certificates import Certificates

BEGINS, ENDS = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2051, 12, 31, 23, 59, 58, tzinfo=UTC)


def der(path: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(path).read_text())


def test_names_and_dates_are_read(tmp_path: Path) -> None:
    path, _ = issue(tmp_path, trustme.CA(), ("one.example", "192.0.2.7", "2001:db8::1"), BEGINS, ENDS)

    certificate = read_certificate(der(path))

    assert certificate is not None
    assert certificate.subject == "one.example"
    assert certificate.issuer.startswith("Testing CA #")
    assert certificate.names == ("one.example", "192.0.2.7", "2001:db8::1")
    assert (certificate.begins, certificate.ends) == (BEGINS, ENDS)


def test_what_is_read_is_what_cryptography_reads(certificates: Certificates) -> None:
    for path in (certificates.ca, certificates.server[0], certificates.client[0]):
        expected = x509.load_der_x509_certificate(der(path))

        certificate = read_certificate(der(path))

        assert certificate is not None
        assert certificate.begins == expected.not_valid_before_utc
        assert certificate.ends == expected.not_valid_after_utc


def test_many_names_are_cut_and_without_names_the_subject_is_shown() -> None:
    many = Certificate("s", "i", tuple(f"{number}.example" for number in range(12)), BEGINS, ENDS)

    assert many.shown_names.endswith("9.example and more")
    assert Certificate("s", "i", (), BEGINS, ENDS).shown_names == "s"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_certificate_or_not(data: bytes) -> None:
    assert read_certificate(data) is None


@given(st.data())
def test_changed_certificate_never_raises(certificates: Certificates, data: st.DataObject) -> None:
    original = bytearray(der(certificates.server[0]))
    for _ in range(data.draw(st.integers(1, 5))):
        original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))

    read_certificate(bytes(original[: data.draw(st.integers(0, len(original)))]))
