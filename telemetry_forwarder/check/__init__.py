"""Checks the settings and each signal's endpoint: what was tried, what came, and what to do."""
