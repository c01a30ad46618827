"""Reads from the environment where each signal is exported to."""
