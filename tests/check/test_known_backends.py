import pytest

from telemetry_forwarder.check.findings import Subject
from telemetry_forwarder.check.known_backends import find_backend, warnings
from telemetry_forwarder.endpoints.endpoint import read_endpoints, variables_of
from telemetry_forwarder.otlp.resource import describe_function

ENDPOINT, HEADERS = "TELEMETRY_FORWARDER_ENDPOINT", "TELEMETRY_FORWARDER_HEADERS"
METRICS_HEADERS = "TELEMETRY_FORWARDER_METRICS_HEADERS"
TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"

# A working configuration, as in docs/backends.
WORKING = {
    "Grafana Cloud": {
        ENDPOINT: "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp",
        HEADERS: "authorization=Basic MTIzOnRva2Vu",
        TEMPORALITY: "cumulative",
    },
    "Honeycomb": {ENDPOINT: "https://api.honeycomb.io", METRICS_HEADERS: "x-honeycomb-team=key,x-honeycomb-dataset=m"},
    "Datadog": {ENDPOINT: "https://otlp.datadoghq.com", HEADERS: "dd-api-key=key"},
    "Dynatrace": {
        ENDPOINT: "https://abc12345.live.dynatrace.com/api/v2/otlp",
        HEADERS: "authorization=Api-Token dt0c01.token",
    },
    "Axiom": {
        ENDPOINT: "https://us-east-1.aws.edge.axiom.co",
        METRICS_HEADERS: "authorization=Bearer xaat-token,x-axiom-metrics-dataset=m",
    },
    "SigNoz": {ENDPOINT: "https://ingest.eu.signoz.cloud:443", HEADERS: "signoz-ingestion-key=key"},
    "OpenObserve": {ENDPOINT: "https://api.openobserve.ai/api/acme", HEADERS: "authorization=Basic dXNlcjpw"},
    "Coralogix": {
        ENDPOINT: "https://ingress.eu1.coralogix.com:443",
        HEADERS: "authorization=Bearer cxtp_key",
        "OTEL_RESOURCE_ATTRIBUTES": "cx.application.name=shop,cx.subsystem.name=orders",
        TEMPORALITY: "cumulative",
    },
}


def texts(environ: dict[str, str], signal: str = "metrics") -> list[tuple[str, str]]:
    """Return the warnings about *signal*."""
    subject = Subject(read_endpoints(environ, [])[signal], variables_of(environ, signal), str)
    backend = find_backend(subject.host)
    assert backend is not None
    temporality = environ.get(TEMPORALITY, "delta")
    attributes = describe_function(environ, {}, []).attributes
    return [(finding.text, finding.advice) for finding in warnings(subject, backend, temporality, attributes)]


@pytest.mark.parametrize("name", WORKING)
def test_working_configuration_causes_no_warning(name: str) -> None:
    assert texts(WORKING[name]) == []


@pytest.mark.parametrize("host", ["otlp.example.com", "localhost", "nothoneycomb.io", "api.honeycomb.io.example.com"])
def test_other_hosts_are_not_known(host: str) -> None:
    assert find_backend(host) is None


@pytest.mark.parametrize(
    ("name", "changes", "expected", "advice"),
    [
        (
            "Grafana Cloud",
            {ENDPOINT: "https://otlp-gateway-prod-eu-west-2.grafana.net"},
            "its base URL ends in /otlp, not in the host",
            f"Set {ENDPOINT} to https://otlp-gateway-prod-eu-west-2.grafana.net/otlp.",
        ),
        (
            "Grafana Cloud",
            {TEMPORALITY: "delta"},
            "it expects metrics of cumulative temporality, and these are delta",
            f"Set {TEMPORALITY}=cumulative.",
        ),
        (
            "Grafana Cloud",
            {HEADERS: "authorization=Bearer%20glc_token"},
            "the header authorization does not begin with 'Basic'",
            f"Set {HEADERS} to authorization=Basic <base64 of instance id:token>.",
        ),
        (
            "Datadog",
            {TEMPORALITY: "cumulative"},
            "it expects metrics of delta temporality, and these are cumulative",
            f"Set {TEMPORALITY}=delta.",
        ),
        (
            "Dynatrace",
            {"TELEMETRY_FORWARDER_PROTOCOL": "grpc"},
            "it does not accept OTLP over gRPC",
            "Set TELEMETRY_FORWARDER_PROTOCOL=http/protobuf.",
        ),
        (
            "Honeycomb",
            {METRICS_HEADERS: "x-honeycomb-team=key"},
            "the header x-honeycomb-dataset is not set, which it wants for metrics",
            f"Add x-honeycomb-dataset=… to {METRICS_HEADERS}.",
        ),
        (
            "Axiom",
            {METRICS_HEADERS: "authorization=Bearer xaat-token,x-axiom-dataset=data"},
            "the header x-axiom-metrics-dataset is not set, which it wants for metrics",
            f"Add x-axiom-metrics-dataset=… to {METRICS_HEADERS}.",
        ),
        (
            "OpenObserve",
            {"TELEMETRY_FORWARDER_PROTOCOL": "grpc"},
            "the header organization is not set, which it wants for grpc",
            f"Add organization=… to {HEADERS}.",
        ),
        (
            "OpenObserve",
            {ENDPOINT: "https://api.openobserve.ai"},
            "its base URL ends in /api/<organization>, not in the host",
            f"Set {ENDPOINT} to https://api.openobserve.ai/api/<organization>.",
        ),
        (
            "SigNoz",
            {ENDPOINT: "http://ingest.eu.signoz.cloud"},
            "it accepts TLS only, and anyone on the network could read the key",
            f"Write https:// in {ENDPOINT}.",
        ),
        (
            "Coralogix",
            {"OTEL_RESOURCE_ATTRIBUTES": "cx.application.name=shop"},
            "the resource has no cx.subsystem.name",
            "Set OTEL_RESOURCE_ATTRIBUTES=cx.subsystem.name=….",
        ),
    ],
)
def test_known_trap_is_a_warning(name: str, changes: dict[str, str], expected: str, advice: str) -> None:
    assert texts(WORKING[name] | changes) == [(f"{name}: {expected}", advice)]


def test_temporality_concerns_metrics_only() -> None:
    assert texts(WORKING["Datadog"] | {TEMPORALITY: "cumulative"}, "logs") == []
