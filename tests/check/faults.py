"""What can be wrong with a destination: each a real server, proxy or name, and the variables that lead to it."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from telemetry_forwarder.settings import PREFIX
from tests.support import collector as c
from tests.support.addresses import unresponsive
from tests.support.collector import FakeCollector
from tests.support.tcp_server import resets, responds, tcp_server

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
HTML = b"<!doctype html><title>Sign in</title>"

Environ = dict[str, str]
Fault = Callable[[Path], AbstractContextManager[Environ]]


def variables(**options: str) -> Environ:
    """Return the variables of *options*, for logs alone, with a key in the headers."""
    common = {"SIGNALS": "logs", "HEADERS": "api-key=abcdefgh12345678"}
    return {PREFIX + name: value for name, value in {**common, **options}.items()}


def responding(*steps: c.Step, grpc: bool = False, **options: str) -> Fault:
    """Return a collector that takes *steps* and then refuses."""

    @contextmanager
    def fault(_: Path) -> Iterator[Environ]:
        with FakeCollector(grpc=grpc) as collector:
            collector.script(*steps, then=steps[-1])
            protocol = {"PROTOCOL": "grpc"} if grpc else {}
            yield variables(ENDPOINT=collector.endpoint, **protocol, **options)

    return fault


def serving(serve: Callable[[socket.socket], object], **options: str) -> Fault:
    """Return a server that handles its connections with *serve*."""

    @contextmanager
    def fault(_: Path) -> Iterator[Environ]:
        with tcp_server(serve) as url:
            yield variables(ENDPOINT=url, **options)

    return fault


def proxied(serve: Callable[[socket.socket], object]) -> Fault:
    """Return a proxy that handles its connections with *serve*."""

    @contextmanager
    def fault(_: Path) -> Iterator[Environ]:
        with tcp_server(serve) as proxy:
            yield variables(ENDPOINT="https://otlp.example.com") | {"HTTPS_PROXY": proxy}

    return fault


@contextmanager
def name_that_does_not_exist(_: Path) -> Iterator[Environ]:
    yield variables(ENDPOINT="https://nobody.invalid")


@contextmanager
def port_that_refuses(_: Path) -> Iterator[Environ]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield variables(ENDPOINT=f"http://127.0.0.1:{bound.getsockname()[1]}")


@contextmanager
def port_that_is_silent(_: Path) -> Iterator[Environ]:
    with unresponsive() as port:
        yield variables(ENDPOINT=f"http://127.0.0.1:{port}")


@contextmanager
def proxy_that_refuses(_: Path) -> Iterator[Environ]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{bound.getsockname()[1]}"
        yield variables(ENDPOINT="https://otlp.example.com") | {"HTTPS_PROXY": proxy}


@contextmanager
def tls_to_a_port_that_waits(_: Path) -> Iterator[Environ]:
    with FakeCollector() as collector:
        yield variables(ENDPOINT=collector.endpoint.replace("http:", "https:"))


@contextmanager
def tls_to_a_port_without(_: Path) -> Iterator[Environ]:
    with tcp_server(responds(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        yield variables(ENDPOINT=url.replace("http:", "https:"))


def with_certificate(
    *names: str,
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + 365 * DAY,
    trusts: bool = True,
    self_signed: bool = False,
    is_plain: bool = False,
    wants_client: bool = False,
    grpc: bool = False,
    then: c.Step = c.OK,
) -> Fault:
    """Return a collector with TLS, whose certificate is as described. *trusts*: whether its authority is set."""

    @contextmanager
    def fault(folder: Path) -> Iterator[Environ]:
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        authority.cert_pem.write_to_path(folder / "ca.pem")
        server = issue(folder, authority, names or ("127.0.0.1",), begins, ends, self_signed=self_signed)
        ca = str(folder / "ca.pem")
        with FakeCollector(tls=server, client_ca=ca if wants_client else None, grpc=grpc) as collector:
            collector.script(then=then)
            options = {"ENDPOINT": collector.endpoint} | ({"CERTIFICATE": ca} if trusts else {})
            if is_plain:
                options["ENDPOINT"] = collector.endpoint.replace("https:", "http:")
            if grpc:
                options["PROTOCOL"] = "grpc"
            yield variables(**options)

    return fault


def issue(
    folder: Path,
    authority: trustme.CA,
    names: tuple[str, ...],
    begins: datetime,
    ends: datetime,
    *,
    self_signed: bool = False,
) -> tuple[str, str]:
    """Write a certificate for a server, and its key; return their paths. trustme's own begin in 2000."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    signing = key if self_signed else signer
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    identity = trustme.CA().issue_cert(*names)
    alternatives = x509.load_pem_x509_certificate(
        identity.cert_chain_pems[0].bytes()
    ).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if self_signed else issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(alternatives.value, critical=False)
        # Python 3.13 and newer refuse a certificate without it.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)  # type: ignore[arg-type]
        .sign(signing, hashes.SHA256())  # type: ignore[arg-type]
    )
    path, key_path = folder / "server.pem", folder / "server.key"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(path), str(key_path)


@contextmanager
def tls_that_closes(_: Path) -> Iterator[Environ]:
    with tcp_server(resets) as url:
        yield variables(ENDPOINT=url.replace("http:", "https:"))


@contextmanager
def certificate_file_that_is_missing(folder: Path) -> Iterator[Environ]:
    with with_certificate()(folder) as environ:
        yield environ | {f"{PREFIX}CERTIFICATE": str(folder / "missing.pem")}


@contextmanager
def certificate_file_that_does_not_answer(folder: Path) -> Iterator[Environ]:
    os.mkfifo(folder / "pipe.pem")
    with with_certificate()(folder) as environ:
        yield environ | {f"{PREFIX}CERTIFICATE": str(folder / "pipe.pem")}


@contextmanager
def proxy_whose_name_does_not_exist(_: Path) -> Iterator[Environ]:
    yield variables(ENDPOINT="https://otlp.example.com") | {"HTTPS_PROXY": "http://proxy.invalid:3128"}


@contextmanager
def address_that_cannot_be_reached(_: Path) -> Iterator[Environ]:
    yield variables(ENDPOINT="http://255.255.255.255")


@contextmanager
def http_to_a_grpc_port(_: Path) -> Iterator[Environ]:
    with FakeCollector(grpc=True) as collector:
        yield variables(ENDPOINT=collector.endpoint)


@contextmanager
def grpc_to_an_http_port(_: Path) -> Iterator[Environ]:
    with FakeCollector() as collector:
        yield variables(ENDPOINT=collector.endpoint, PROTOCOL="grpc")


@contextmanager
def grpc_to_an_http_port_with_tls(folder: Path) -> Iterator[Environ]:
    with with_certificate()(folder) as environ:
        yield environ | {f"{PREFIX}PROTOCOL": "grpc"}
