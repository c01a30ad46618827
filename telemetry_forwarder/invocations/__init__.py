"""Correlates platform events and log lines by invocation."""
