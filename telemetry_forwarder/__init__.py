"""Delivers what AWS Lambda's Telemetry API says as OpenTelemetry logs, spans and metrics."""
