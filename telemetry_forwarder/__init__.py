"""Exports what AWS Lambda's Telemetry API delivers as OpenTelemetry logs, spans and metrics."""
