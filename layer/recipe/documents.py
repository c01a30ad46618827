"""Writes the documents of the layer: licences, VERSION and an SBOM (CycloneDX 1.6)."""

import email.parser
import json
import re
import urllib.parse
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from . import debian
from .fetch import sha256_of

# C libraries inside the interpreter's wheel, by prefix of their file names.
_BUNDLED = {"libcrypto-": "openssl", "libssl-": "openssl", "libffi-": "libffi", "libmpdec-": "libmpdec"}
_BUNDLED_LICENCES = {"openssl": "Apache-2.0", "libffi": "MIT", "libmpdec": "BSD-2-Clause"}
# Vendor and product in the CPE dictionary of the NVD, which has no libmpdec.
_BUNDLED_PRODUCTS = {"openssl": "openssl:openssl", "libffi": "libffi_project:libffi"}
# The licences of what is shipped. Another one fails the build until a person has read it and added it here.
_SPDX_IDS = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MPL-2.0", "PSF-2.0", "Zlib"}
_SPDX_NAMES = {"3-Clause BSD License": "BSD-3-Clause"}
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "telemetry-forwarder")


class DocumentsError(Exception):
    """A component has no known licence or origin."""


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the layer. *texts* are its licences by file name; *licence* is an SPDX expression.

    Scanners find a component of a package index by its purl, and others by their *cpe*.
    """

    name: str
    version: str
    purl: str
    licence: str
    texts: dict[str, bytes] = field(default_factory=dict)
    sha256: str = ""
    cpe: str = ""


def cpe(product: str, version: str) -> str:
    """Return the CPE of *product*, which is `vendor:product`, in upstream's *version*."""
    return f"cpe:2.3:a:{product}:{version}:*:*:*:*:*:*:*"


def pypi_purl(name: str, version: str) -> str:
    """Return the purl with the normalized name: scanners compare it as a string."""
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{urllib.parse.quote(version)}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What Debian's index does not say of a package; *product* is `vendor:product` in the CPE dictionary."""

    licence: str
    product: str
    qualifiers: str


def of_wheel(wheel: Path) -> Component:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        folder = next(name.split("/")[0] for name in names if ".dist-info/" in name)
        metadata = email.parser.BytesHeaderParser().parsebytes(archive.read(f"{folder}/METADATA"))
        files = [name for name in names if name.startswith(folder) and not name.endswith("/")]
        texts = {
            Path(name).name: archive.read(name)
            for name in files
            if "/licenses/" in name or Path(name).name.upper().startswith(("LICENSE", "COPYING", "NOTICE"))
        }
    name, version = str(metadata["Name"]), str(metadata["Version"])
    classifiers = [str(value) for value in metadata.get_all("Classifier", [])]
    from_classifier = next((c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")), "")
    licence = str(metadata["License-Expression"] or metadata["License"] or from_classifier or "unknown")
    licence = _SPDX_NAMES.get(licence, licence)
    return Component(name, version, pypi_purl(name, version), licence, texts, sha256_of(wheel))


def of_deb(deb: Path, *, name: str, version: str, origin: Origin) -> Component:
    texts = {
        Path(path).name: content
        for path, content in debian.files(deb)
        if path.startswith("usr/share/doc/") and path.endswith("/copyright")
    }
    upstream = re.sub(r"^\d+:|.*really|\.dfsg.*|-[^-]*$", "", version)
    return Component(
        name,
        version,
        f"pkg:deb/debian/{name}@{urllib.parse.quote(version, safe=':')}?{origin.qualifiers}",
        origin.licence,
        texts,
        sha256_of(deb),
        cpe(origin.product, upstream),
    )


def of_bundled(lib: Path, versions: dict[str, str], licences: Path, shipped: Iterable[str]) -> list[Component]:
    """Return the C libraries in *lib* that came with the interpreter; those in *shipped* have their own components."""
    bundled: dict[str, str] = {}
    for path in sorted(lib.glob("lib*.so*")):
        if path.name in shipped:
            continue
        name = next((name for start, name in _BUNDLED.items() if path.name.startswith(start)), None)
        if name is None:
            raise DocumentsError(f"{path.name} is in the layer, but its origin and licence are not recorded")
        bundled.setdefault(name, versions.get(name) or _version_of(path))
    return [
        Component(
            name,
            version,
            # auditwheel records the package of CentOS that a library was copied from.
            f"pkg:rpm/centos/{name}@{version}?distro=centos-7"
            if ".el7" in version
            else f"pkg:generic/{name}@{version}",
            _BUNDLED_LICENCES[name],
            {f"{name}.txt": (licences / f"{name}.txt").read_bytes()},
            cpe=cpe(_BUNDLED_PRODUCTS[name], version.partition("-")[0]) if name in _BUNDLED_PRODUCTS else "",
        )
        for name, version in sorted(bundled.items())
    ]


def write(root: Path, *, name: str, version: str, facts: dict[str, str], components: list[Component]) -> None:
    """Write licences/, VERSION and sbom.cdx.json into *root*."""
    (root / "VERSION").write_text("".join(f"{key} {value}\n" for key, value in {name: version, **facts}.items()))
    for component in components:
        if not component.texts:
            raise DocumentsError(f"{component.name} has no licence text")
        if not set(re.findall(r"[^\s()]+", component.licence)) <= {*_SPDX_IDS, "AND", "OR"}:
            raise DocumentsError(f"{component.name} has the licence {component.licence}: see _SPDX_IDS")
        folder = root / "licences" / component.name
        folder.mkdir(parents=True)
        for file, content in component.texts.items():
            (folder / file).write_bytes(content)
    (root / "sbom.cdx.json").write_text(json.dumps(_sbom(name, version, facts, components), indent=1) + "\n")


def _sbom(name: str, version: str, facts: dict[str, str], components: list[Component]) -> dict[str, object]:
    parts = [_sbom_component(component) for component in components]
    # No date: the same tree results in the same SBOM. The serial number is derived from the content.
    serial = uuid.uuid5(_NAMESPACE, json.dumps([version, facts, parts], sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": name,
                "version": version,
                "properties": [{"name": f"layer:{key}", "value": value} for key, value in facts.items()],
            }
        },
        "components": parts,
    }


def _sbom_component(component: Component) -> dict[str, object]:
    hashes = [{"alg": "SHA-256", "content": component.sha256}] if component.sha256 else []
    is_single = component.licence in _SPDX_IDS
    licence = {"license": {"id": component.licence}} if is_single else {"expression": component.licence}
    return {
        "type": "library",
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        **({"cpe": component.cpe} if component.cpe else {}),
        "purl": component.purl,
        "licenses": [licence],
        "hashes": hashes,
    }


def _version_of(path: Path) -> str:
    """Return the version that the library contains (OpenSSL), otherwise that of its file name."""
    match = re.search(rb"OpenSSL (\d+\.\d+\.\d+) ", path.read_bytes())
    if match:
        return match[1].decode()
    return path.name.partition(".so.")[2]
