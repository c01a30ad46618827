import os
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.outcome import FailureKind
from telemetry_forwarder.transport.tls import ContextReader, tls_context
from tests.support.captured_log import CapturedLog
from tests.support.certificates import Certificates
from tests.support.fake_clock import FakeClock
from tests.support.requests import new_attempt, raises
from tests.support.thread_limit import no_thread_starts


def context(
    captured: CapturedLog, *files: str, folders: tuple[str, ...] = (), bundles: tuple[str, ...] = ()
) -> ssl.SSLContext:
    certificate, key, client = [*files, "", "", ""][:3]
    endpoint = Endpoint(LOGS, "https://h/", certificate=certificate, client_key=key, client_certificate=client)
    made = tls_context(endpoint, captured.diagnostics(Clock()), folders=folders, files=bundles)
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
    return made


def test_only_the_configured_authority_is_trusted(captured: CapturedLog, certificates: Certificates) -> None:
    made = context(captured, certificates.ca)

    assert made.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}
    assert captured.lines == []


def test_folder_with_hashed_names_is_preferred_to_a_file_and_read_on_demand(
    captured: CapturedLog, tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "0a1b2c3d.0").write_bytes(Path(certificates.ca).read_bytes())

    made = context(captured, folders=("/nowhere", str(tmp_path)), bundles=(certificates.ca,))

    assert made.cert_store_stats()["x509_ca"] == 0


def test_folder_without_hashed_names_is_skipped(
    captured: CapturedLog, tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "ca.pem").touch()

    made = context(captured, folders=(str(tmp_path),), bundles=("/nowhere", certificates.ca))

    assert made.cert_store_stats()["x509_ca"] == 1


def test_certifi_is_used_if_the_system_has_no_authorities(captured: CapturedLog) -> None:
    assert context(captured).cert_store_stats()["x509_ca"] > 50


def test_system_authorities_are_found(captured: CapturedLog) -> None:
    made = tls_context(Endpoint(LOGS, "https://h/"), captured.diagnostics(Clock()))

    assert made.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_unusable_authority_is_logged_and_servers_are_still_verified(
    captured: CapturedLog, tmp_path: Path, certificates: Certificates, content: bytes | None
) -> None:
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_bytes(content)

    made = context(captured, str(path), bundles=(certificates.ca,))

    assert made.cert_store_stats()["x509_ca"] == 1
    (line,) = captured.lines
    assert line.startswith(f"WARN certificate {str(path)!r} cannot be used, so the system's authorities are trusted: ")


def test_unusable_client_certificate_is_logged_and_ignored(captured: CapturedLog, certificates: Certificates) -> None:
    context(captured, certificates.ca, "/nowhere.key", "/nowhere.pem")

    assert captured.lines == [
        "WARN client certificate '/nowhere.pem' cannot be used and is ignored: [Errno 2] No such file or directory"
    ]


def test_key_that_was_set_in_the_place_of_its_path_is_not_logged(
    captured: CapturedLog, certificates: Certificates
) -> None:
    context(captured, certificates.ca, "", "-----BEGIN PRIVATE KEY-----MIIsecret")

    assert captured.lines == [
        "WARN client certificate '***' cannot be used and is ignored: [Errno 2] No such file or directory"
    ]


def test_log_lines_name_the_variables(captured: CapturedLog, certificates: Certificates) -> None:
    variables = {"CERTIFICATE": "SSL_CERT_FILE", "CLIENT_KEY": "KEY", "CLIENT_CERTIFICATE": "CHAIN"}
    files: dict[str, Any] = {"certificate": "/nowhere.pem", "client_certificate": "/nowhere.pem"}
    for key in ("/nowhere.key", ""):
        endpoint = Endpoint(LOGS, "https://h/", **files, client_key=key, variables=variables)
        tls_context(endpoint, captured.diagnostics(Clock()), folders=(), files=(certificates.ca,))

    assert [line.partition(": ")[0] for line in captured.lines] == [
        "WARN SSL_CERT_FILE",
        "WARN CHAIN, KEY",
        "WARN SSL_CERT_FILE",
        "WARN CHAIN",
    ]


def test_encrypted_client_key_is_logged_and_does_not_prompt(
    captured: CapturedLog, tmp_path: Path, certificates: Certificates
) -> None:
    from cryptography.hazmat.primitives import serialization

    leaf = trustme.CA().issue_cert("client@localhost")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    (tmp_path / "client.key").write_bytes(encrypted)
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")

    context(captured, certificates.ca, str(tmp_path / "client.key"), str(tmp_path / "client.pem"))

    assert captured.lines == [
        f"WARN client certificate {str(tmp_path / 'client.pem')!r} cannot be used and is ignored: the key is encrypted"
    ]


@pytest.mark.parametrize(
    ("size", "reason"), [(None, "it is a device"), (16_777_217, "it is larger than 16777216 bytes")]
)
def test_file_that_has_no_end_or_is_very_large_is_not_read(
    captured: CapturedLog, tmp_path: Path, certificates: Certificates, size: int | None, reason: str
) -> None:
    path = tmp_path / "large.pem"
    if size is None:
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, size)

    made = context(captured, str(path), "", str(path), bundles=(certificates.ca,))

    assert made.cert_store_stats()["x509_ca"] == 1
    assert captured.lines == [
        f"WARN certificate {str(path)!r} cannot be used, so the system's authorities are trusted: {reason}",
        f"WARN client certificate {str(path)!r} cannot be used and is ignored: {reason}",
    ]


CLIENT = ("client_certificate", "client_key")


@contextmanager
def pipe(path: Path, pieces: Iterable[bytes]) -> Iterator[str]:
    """Write *pieces* to a named pipe until nobody reads it."""

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)

    os.mkfifo(path)
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield str(path)
    thread.join()


class TestPipe:
    """A file whose size is not known is read to a limit, and only once."""

    @pytest.mark.parametrize("piece", [b"A" * 65_536, b"junk line\n" * 6_000, b"\0" * 65_536])
    @pytest.mark.parametrize("kind", ["certificate", "client_certificate", "client_key"])
    def test_one_that_never_ends_is_refused(
        self, captured: CapturedLog, tmp_path: Path, certificates: Certificates, kind: str, piece: bytes
    ) -> None:
        taken = 0

        def endless() -> Iterator[bytes]:
            nonlocal taken
            yield b"-----BEGIN CERTIFICATE-----\n"
            # The test ends although nothing else limits what is read.
            while taken < 100_000_000:
                yield piece
                taken += len(piece)

        files = dict(certificate=certificates.ca, **dict(zip(CLIENT, certificates.client, strict=True)))
        with pipe(tmp_path / "pipe.pem", endless()) as path:
            endpoint = Endpoint(LOGS, "https://h/", **{**files, kind: path})  # type: ignore[arg-type]
            tls_context(endpoint, captured.diagnostics(Clock()), folders=(), files=(certificates.ca,))

        assert taken < 17_000_000
        (line,) = captured.lines
        assert line.endswith(": it is larger than 16777216 bytes")

    def test_one_with_certificates_is_used(
        self, captured: CapturedLog, tmp_path: Path, certificates: Certificates
    ) -> None:
        with (
            pipe(tmp_path / "ca.pem", [Path(certificates.ca).read_bytes()]) as ca,
            pipe(tmp_path / "chain.pem", [Path(certificates.client[0]).read_bytes()]) as chain,
            pipe(tmp_path / "key.pem", [Path(certificates.client[1]).read_bytes()]) as key,
        ):
            made = context(captured, ca, key, chain)

        assert (made.cert_store_stats()["x509_ca"], captured.lines) == (1, [])

    def test_certificate_and_key_may_come_through_one(
        self, captured: CapturedLog, tmp_path: Path, certificates: Certificates
    ) -> None:
        both = b"".join(Path(path).read_bytes() for path in certificates.client)
        with pipe(tmp_path / "both.pem", [both]) as path:
            context(captured, certificates.ca, "", path)

        assert captured.lines == []

    def test_descriptors_are_closed(self, captured: CapturedLog, tmp_path: Path, certificates: Certificates) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with pipe(tmp_path / "ca.pem", [Path(certificates.ca).read_bytes()]) as ca:
            context(captured, ca)

        assert len(os.listdir("/proc/self/fd")) == before


def test_socket_is_no_certificate(captured: CapturedLog, tmp_path: Path, certificates: Certificates) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        context(captured, str(tmp_path / "socket"), bundles=(certificates.ca,))

    (line,) = captured.lines
    assert line.endswith("authorities are trusted: [Errno 6] No such device or address")


class TestContextReader:
    """Files are read in a thread: one that never answers delays nothing else."""

    @pytest.fixture
    def pipe(self, tmp_path: Path) -> Path:
        path = tmp_path / "pipe.pem"
        os.mkfifo(path)
        return path

    def test_file_is_read_once_and_a_warning_names_its_variable(self, captured: CapturedLog) -> None:
        endpoint = Endpoint(LOGS, "https://h/", certificate="/nowhere.pem", variables={"CERTIFICATE": "A_NAME"})
        reader = ContextReader(endpoint, captured.diagnostics(Clock()))

        assert reader.context(new_attempt()) is reader.context(new_attempt())
        assert [line.partition(" cannot")[0] for line in captured.lines] == ["WARN A_NAME: certificate '/nowhere.pem'"]

    @pytest.mark.parametrize("kind", ["certificate", "client_certificate", "client_key"])
    def test_file_that_does_not_answer_is_named_and_waited_for_once(
        self, captured: CapturedLog, certificates: Certificates, pipe: Path, kind: str
    ) -> None:
        files = {"certificate": certificates.ca, "client_certificate": certificates.client[0], kind: str(pipe)}
        clock = FakeClock()
        variables = {kind.upper(): "A_NAME"}
        endpoint = Endpoint(LOGS, "https://h/", **files, variables=variables)  # type: ignore[arg-type]
        reader = ContextReader(endpoint, captured.diagnostics(clock), clock)
        with raises(FailureKind.UNTRUSTED, match="has not been read yet"):
            reader.context(new_attempt(0.5))
        clock.advance(2.0)

        for _ in range(2):
            with raises(FailureKind.UNTRUSTED, match="A_NAME: .*certificate .* has not been read yet"):
                reader.context(new_attempt())

    def test_reading_begins_again_if_no_thread_could_be_started(
        self, captured: CapturedLog, certificates: Certificates
    ) -> None:
        endpoint = Endpoint(LOGS, "https://h/", certificate=certificates.ca)
        with no_thread_starts():
            reader = ContextReader(endpoint, captured.diagnostics(Clock()))
            with raises(FailureKind.UNTRUSTED, match="certificates: can't start new thread"):
                reader.context(new_attempt())

        assert reader.context(new_attempt()).cert_store_stats()["x509_ca"] == 1

    def test_any_other_error_is_a_failed_request(self, captured: CapturedLog) -> None:
        reader = ContextReader(Endpoint(LOGS, "https://h/", certificate="\0"), captured.diagnostics(Clock()))

        with raises(FailureKind.UNTRUSTED, match="TLS cannot be set up: ValueError: .*embedded null"):
            reader.context(new_attempt())
