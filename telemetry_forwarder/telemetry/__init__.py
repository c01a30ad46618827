"""Decodes Telemetry API bytes into typed records."""
