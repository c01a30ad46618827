"""Telemetry API bytes in, typed records out."""
