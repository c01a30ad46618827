"""Certificate authorities for tests, which no system trusts."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files: an authority, and the certificate and key of a server on 127.0.0.1 and of a client."""

    ca: str
    server: tuple[str, str]
    client: tuple[str, str]


def issue_certificates(folder: Path) -> Certificates:
    """Create an authority and its certificates in *folder*."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return Certificates(
        ca=str(folder / "ca.pem"),
        server=_written(authority.issue_cert("127.0.0.1", "localhost"), folder, "server"),
        client=_written(authority.issue_cert("client@localhost"), folder, "client"),
    )


def _written(leaf: trustme.LeafCert, folder: Path, name: str) -> tuple[str, str]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    return str(certificate), str(key)
