"""Reads where telemetry is sent: endpoints, their options and proxies."""
