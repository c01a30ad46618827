"""Encodes records as OTLP logs, spans and metrics."""
