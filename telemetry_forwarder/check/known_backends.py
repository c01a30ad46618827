"""What is known of back ends by their host, and what commonly goes wrong with each. Pure.

From their documentation; `docs/backends` has a page for each, which a test compares with this.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from telemetry_forwarder.check.findings import Finding, Subject, Verdict
from telemetry_forwarder.core.batch import METRICS
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.endpoints.endpoint import GRPC
from telemetry_forwarder.endpoints.options import TEMPORALITY

STAGE = "back end"


@frozen
class Backend:
    """A back end that accepts OTLP."""

    name: str
    hosts: str
    """A pattern that matches its hosts."""
    header: str
    """The header with the key, in lower case."""
    value: str
    """How its value is written."""
    path: str = ""
    """How the base URL for OTLP/HTTP ends; empty for no path."""
    path_pattern: str = ""
    """What that has to match, if not the same."""
    has_grpc: bool = True
    temporality: str = ""
    """The temporality of metrics that it expects; empty if it takes both, or does not say."""
    needs: Mapping[str, str] = MappingProxyType({})
    """Another header that it wants, by signal or for `grpc`."""
    attributes: tuple[str, ...] = ()
    """Resource attributes without which data is not found."""


BACKENDS = (
    Backend(
        "Grafana Cloud",
        r"otlp-gateway-[a-z0-9-]+\.grafana\.net",
        "authorization",
        "Basic <base64 of instance id:token>",
        path="/otlp",
        has_grpc=False,
        temporality="cumulative",
    ),
    Backend(
        "Honeycomb",
        r"api(\.eu1)?\.honeycomb\.io",
        "x-honeycomb-team",
        "<API key>",
        needs={"metrics": "x-honeycomb-dataset"},
    ),
    Backend("New Relic", r"(gov-)?otlp(\.[a-z0-9]+)?\.nr-data\.net", "api-key", "<licence key>", temporality="delta"),
    Backend(
        "Datadog",
        r"(.+\.)?(datadoghq\.(com|eu)|ddog-gov\.com)",
        "dd-api-key",
        "<API key>",
        has_grpc=False,
        temporality="delta",
    ),
    Backend(
        "Dynatrace",
        r".+\.dynatrace(labs)?\.com",
        "authorization",
        "Api-Token <token>",
        path="/api/v2/otlp",
        has_grpc=False,
        temporality="delta",
    ),
    Backend(
        "Elastic",
        r".+\.(elastic-cloud\.com|elastic\.cloud|es\.io|found\.io)",
        "authorization",
        "ApiKey <key>",
        temporality="delta",
    ),
    Backend(
        "Axiom",
        r".+\.axiom\.co",
        "authorization",
        "Bearer <API token>",
        has_grpc=False,
        needs={"logs": "x-axiom-dataset", "traces": "x-axiom-dataset", "metrics": "x-axiom-metrics-dataset"},
    ),
    Backend("Better Stack", r".+\.(betterstackdata|logs\.betterstack)\.com", "authorization", "Bearer <source token>"),
    Backend("SigNoz", r"ingest\.[a-z0-9]+\.signoz\.cloud", "signoz-ingestion-key", "<ingestion key>"),
    Backend(
        "OpenObserve",
        r"(.+\.)?openobserve\.ai",
        "authorization",
        "Basic <base64 of user:password>",
        path="/api/<organization>",
        path_pattern=r"/api/[^/]+",
        needs={"grpc": "organization"},
    ),
    Backend("Uptrace", r"(api|otlp)\.uptrace\.dev", "uptrace-dsn", "<DSN>", temporality="delta"),
    Backend("Dash0", r"ingress\..+\.dash0\.com", "authorization", "Bearer <auth token>"),
    Backend(
        "Coralogix",
        r".+\.coralogix\.(com|us|in)",
        "authorization",
        "Bearer <Send-Your-Data key>",
        temporality="cumulative",
        attributes=("cx.application.name", "cx.subsystem.name"),
    ),
)


def find_backend(host: str) -> Backend | None:
    """Return the back end that *host* belongs to; None if it is not a known one."""
    return next((backend for backend in BACKENDS if re.fullmatch(backend.hosts, host.lower())), None)


def warnings(subject: Subject, backend: Backend, temporality: str, attributes: Collection[str]) -> Iterator[Finding]:
    """Yield what is known not to work with *backend*. *temporality* is that of metrics, *attributes* the resource's."""
    for text, advice in (
        *_header_problems(subject, backend),
        *_protocol_problems(subject, backend),
        *_data_problems(subject, backend, temporality, attributes),
    ):
        yield Finding(STAGE, Verdict.WARNING, f"{backend.name}: {text}", advice)


def _header_problems(subject: Subject, backend: Backend) -> Iterator[tuple[str, str]]:
    variable, sent = subject.variable("HEADERS"), subject.endpoint.headers
    example = f"{backend.header}={backend.value}"
    if backend.header not in sent:
        yield f"the header {backend.header} is not set (set: {subject.headers})", f"Set {variable} to {example}."
        return
    scheme = backend.value.partition("<")[0]
    if not sent[backend.header].lower().startswith(scheme.lower()):
        yield f"the header {backend.header} does not begin with {scheme.strip()!r}", f"Set {variable} to {example}."
    for kind in (subject.signal, GRPC if subject.is_grpc else ""):
        name = backend.needs.get(kind)
        if name and name not in sent:
            yield f"the header {name} is not set, which it wants for {kind}", f"Add {name}=… to {variable}."


def _protocol_problems(subject: Subject, backend: Backend) -> Iterator[tuple[str, str]]:
    endpoint = subject.variable("ENDPOINT")
    if subject.endpoint.is_insecure:
        yield "it accepts TLS only, and anyone on the network could read the key", f"Write https:// in {endpoint}."
    if subject.is_grpc:
        if not backend.has_grpc:
            advice = f"Set {subject.variable('PROTOCOL')}=http/protobuf."
            yield "it does not accept OTLP over gRPC", advice
        return
    base = urlsplit(subject.endpoint.url).path.removesuffix(f"/v1/{subject.signal}")
    if backend.path and not re.fullmatch(backend.path_pattern or re.escape(backend.path), base):
        shown = f"{subject.endpoint.origin}{backend.path}"
        yield f"its base URL ends in {backend.path}, not in {base or 'the host'}", f"Set {endpoint} to {shown}."


def _data_problems(
    subject: Subject, backend: Backend, temporality: str, attributes: Collection[str]
) -> Iterator[tuple[str, str]]:
    if missing := [name for name in backend.attributes if name not in attributes]:
        advice = f"Set OTEL_RESOURCE_ATTRIBUTES={','.join(f'{name}=…' for name in missing)}."
        yield f"the resource has no {' and no '.join(missing)}", advice
    # Ours are delta with `lowmemory`, too.
    used = "cumulative" if temporality == "cumulative" else "delta"
    if subject.signal == METRICS and backend.temporality not in ("", used):
        text = f"it expects metrics of {backend.temporality} temporality, and these are {used}"
        yield text, f"Set {TEMPORALITY}={backend.temporality}."
