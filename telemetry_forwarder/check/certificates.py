"""Reads who a certificate is for and how long, also of one that is not trusted. Pure; never raises.

The standard library decodes only certificates that were verified. https://www.rfc-editor.org/rfc/rfc5280
"""

import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from telemetry_forwarder.core.frozen import frozen

_VERSION, _EXTENSIONS, _UTC_TIME = 0xA0, 0xA3, 0x17
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
# Object identifiers: the last parts of a distinguished name that say who it is, the best first.
_COMMON_NAME, _UNIT, _ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0b", b"\x55\x04\x0a"
_SUBJECT_ALT_NAME = b"\x55\x1d\x11"
_MAX_NAMES = 10


@frozen
class Certificate:
    subject: str
    issuer: str
    names: tuple[str, ...]
    """The hosts that it is for."""
    begins: datetime
    ends: datetime

    @property
    def shown_names(self) -> str:
        """The hosts, or who it is for if there are none."""
        more = "" if len(self.names) <= _MAX_NAMES else " and more"
        return (", ".join(self.names[:_MAX_NAMES]) + more) or self.subject


def read_certificate(der: bytes) -> Certificate | None:
    """Return what *der* contains; None if it is no certificate."""
    with suppress(ValueError, IndexError):
        ((_, certificate),) = _elements(der)
        (_, to_be_signed), *_ = _elements(certificate)
        fields = [(tag, content) for tag, content in _elements(to_be_signed) if tag != _VERSION]
        (_, issuer), (_, validity), (_, subject) = fields[2:5]
        begins, ends = (_moment(tag, content) for tag, content in _elements(validity))
        extensions = b"".join(content for tag, content in fields if tag == _EXTENSIONS)
        names = tuple(_alternative_names(extensions))
        return Certificate(_name(subject), _name(issuer), names, begins, ends)
    return None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element of DER. Raises `ValueError` or `IndexError`."""
    position = 0
    while position < len(data):
        tag, size = data[position], data[position + 1]
        position += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[position : position + count], "big")
            position += count
        if position + size > len(data):
            raise ValueError("it is cut")
        yield tag, data[position : position + size]
        position += size


def _moment(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # Years from 50 are of the last century: RFC 5280, 4.1.2.5.1.
        text = ("19" if text[:2] >= "50" else "20") + text
    month, day, hour, minute, second = (int(text[index : index + 2]) for index in range(4, 14, 2))
    return datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC)


def _name(distinguished: bytes) -> str:
    parts = dict[bytes, str]()
    for _, group in _elements(distinguished):
        for _, pair in _elements(group):
            (_, identifier), (_, value) = _elements(pair)
            parts[identifier] = value.decode("utf-8", "replace")
    known = [parts[kind] for kind in (_COMMON_NAME, _UNIT, _ORGANISATION) if kind in parts]
    return "".join(char if char.isprintable() else " " for char in (known or ["no name"])[0])


def _alternative_names(extensions: bytes) -> Iterator[str]:
    for _, listed in _elements(extensions):
        for _, extension in _elements(listed):
            (_, identifier), *_, (_, value) = _elements(extension)
            if identifier == _SUBJECT_ALT_NAME:
                ((_, names),) = _elements(value)
                for tag, content in _elements(names):
                    if tag == _DNS_NAME:
                        yield content.decode("ascii", "replace")
                    elif tag == _IP_ADDRESS:
                        yield str(ipaddress.ip_address(content))
