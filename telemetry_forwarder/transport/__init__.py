"""Sends one request and returns the response."""
