"""Looks up the options of each signal's endpoint in the environment. Pure; an invalid value gives a warning.

Names and meanings: https://opentelemetry.io/docs/specs/otel/protocol/exporter/. An option is looked up under these
names; the first one that is set and not empty wins:

    TELEMETRY_FORWARDER_LOGS_HEADERS  TELEMETRY_FORWARDER_HEADERS      for this extension alone
    OTEL_EXPORTER_OTLP_LOGS_HEADERS   OTEL_EXPORTER_OTLP_HEADERS       shared with the function's own SDK
"""

from collections.abc import Collection, Mapping

from telemetry_forwarder.core.batch import SIGNALS
from telemetry_forwarder.settings import PREFIX, Setting, read_value, reject
from telemetry_forwarder.settings import names as settings_names

OWN = (PREFIX,)
SHARED = ("OTEL_EXPORTER_OTLP_",)
TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"

OPTIONS = (
    Setting("ENDPOINT", "http://localhost:4318"),
    Setting("HEADERS", ""),
    Setting("TIMEOUT", "10000"),
    Setting("COMPRESSION", "gzip", choices=("gzip", "none")),
    Setting("PROTOCOL", "http/protobuf", choices=("http/protobuf", "grpc")),
    Setting("INSECURE", "false", choices=("false", "true")),
    Setting("CERTIFICATE", ""),
    Setting("CLIENT_CERTIFICATE", ""),
    Setting("CLIENT_KEY", ""),
)
"""The options of an endpoint, each for all signals or, with the signal in its name, for one."""


def names() -> frozenset[str]:
    """Return the full names of our own variables for these options."""
    signals = ("", *(f"{signal.upper()}_" for signal in SIGNALS))
    return frozenset([f"{PREFIX}{signal}{option.name}" for signal in signals for option in OPTIONS])


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Return one sentence for each of our variables that does not exist: most often it is misspelt."""
    unknown = sorted(environ.keys() - settings_names() - names())
    return [f"{name}: there is no such setting" for name in unknown if name.startswith(PREFIX)]


def read_temporality(environ: Mapping[str, str], known: Collection[str], problems: list[str]) -> str:
    """Return the temporality of metrics, one of *known*: delta by default, because environments are short-lived."""
    wanted = read_value(environ, TEMPORALITY).lower() or "delta"
    if wanted in known:
        return wanted
    return reject(problems, TEMPORALITY, f"{wanted[:60]!r} is none of {', '.join(known)}", "delta")


def find(environ: Mapping[str, str], signal: str, option: str, prefixes: tuple[str, ...]) -> tuple[str, str]:
    """Return the name of the variable that sets *option* of *signal*, and its value; ("", "") if none does."""
    parts = (f"{signal.upper()}_{option}", option)
    return find_first(environ, *(prefix + part for prefix in prefixes for part in parts))


def find_first(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """Return the first of *names* that is set and not empty, and its value; ("", "") if none is."""
    for name in names:
        if value := read_value(environ, name):
            return name, value
    return "", ""
