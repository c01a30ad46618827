"""Lists the settings: what each comes to, and where that comes from. Pure; contains no secret."""

import re
from collections.abc import Iterator, Mapping

from telemetry_forwarder.check.findings import Subject
from telemetry_forwarder.endpoints.options import OPTIONS
from telemetry_forwarder.endpoints.urls import redact_url
from telemetry_forwarder.settings import PREFIX, SETTINGS, Settings, read_value

_ATTRIBUTES = {"RAW_LINES": "keep_raw", "JOIN_LINES": "joins_lines", "CHECK": "checks"}
_PATH = re.compile(r"[!-~]{1,200}")


def settings_lines(settings: Settings, environ: Mapping[str, str], source: str) -> Iterator[str]:
    """Yield a line for each setting. *source*: where *environ* comes from."""
    for setting in SETTINGS:
        name = PREFIX + setting.name
        origin = source if read_value(environ, name) else "default"
        rejected = ": not valid" if any(problem.startswith(f"{name}: ") for problem in settings.problems) else ""
        yield f"{name} = {value_of(settings, setting.name)} ({origin}{rejected})"


def value_of(settings: Settings, name: str) -> str:
    """Return the value of the setting *name* as a user would write it."""
    value = getattr(settings, _ATTRIBUTES.get(name, name.lower()))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"every {settings.flush_every_s:g} s" if value == "every" else str(value)


def endpoint_lines(subject: Subject, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each option of an endpoint, with the variable that sets it."""
    values = _option_values(subject, environ)
    # Credentials in the URL are a header, too.
    sources = ({"HEADERS": "the URL"} if subject.endpoint.headers else {}) | dict(subject.variables)
    for option in OPTIONS:
        yield f"{option.name} = {values[option.name]} ({sources.get(option.name, 'default')})"
    if subject.endpoint.proxy:
        yield f"proxy = {redact_url(subject.endpoint.proxy)}"


def _option_values(subject: Subject, environ: Mapping[str, str]) -> dict[str, str]:
    endpoint = subject.endpoint
    return {
        "ENDPOINT": subject.shown_url,
        "HEADERS": ",".join(f"{name}=***" for name in endpoint.headers) or "none",
        "TIMEOUT": f"{endpoint.timeout_s * 1_000:g}",
        "COMPRESSION": endpoint.compression,
        "PROTOCOL": endpoint.protocol,
        "INSECURE": read_value(environ, subject.variables.get("INSECURE", "")) or "false",
        "CERTIFICATE": _path(endpoint.certificate) or "the system's",
        "CLIENT_CERTIFICATE": _path(endpoint.client_certificate) or "none",
        "CLIENT_KEY": _path(endpoint.client_key) or "none",
    }


def _path(value: str) -> str:
    """Return *value* if it can be a path: a certificate or a key itself may have been set by mistake."""
    return value if not value or (_PATH.fullmatch(value) and "-----" not in value) else "***"
