"""Parses log lines of Lambda's runtimes and of common loggers."""
