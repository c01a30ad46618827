"""Converts one Telemetry API post into encoded batches."""
