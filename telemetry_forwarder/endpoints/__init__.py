"""Reads from the environment where and how each signal is exported."""
