from telemetry_forwarder.check.findings import Subject
from telemetry_forwarder.endpoints.endpoint import GRPC, Endpoint


def test_subject_is_shown_as_a_user_knows_it() -> None:
    endpoint = Endpoint("logs", "https://h:4318/v1/logs", {"api-key": "secret", "b": "secret"})

    subject = Subject(endpoint, {"HEADERS": "OTEL_EXPORTER_OTLP_HEADERS"}, str)

    assert (subject.signal, subject.host, subject.is_grpc) == ("logs", "h", False)
    assert subject.headers == "api-key, b"
    assert Subject(Endpoint("logs", "https://h/"), {}, str).headers == "none"
    assert subject.variable("HEADERS") == "OTEL_EXPORTER_OTLP_HEADERS"
    assert subject.variable("ENDPOINT") == "TELEMETRY_FORWARDER_ENDPOINT"


def test_url_is_shown_without_what_may_be_secret() -> None:
    def shown(url: str, **options: str) -> str:
        return Subject(Endpoint("logs", url, **options), {}, str).shown_url  # type: ignore[arg-type]

    assert shown("https://h:1/base/v1/logs") == "https://h:1/base/v1/logs"
    assert shown("https://h/v1/logs?key=secret") == "https://h/v1/logs?***"
    assert shown("https://h/0a1b2c3d4e5f6a7b8c9d0e1f/v1/logs") == "https://h/***/v1/logs"
    assert shown("https://h/opentelemetry-collector/v1/logs") == "https://h/opentelemetry-collector/v1/logs"
    assert shown("https://h/path", protocol=GRPC) == "https://h"
