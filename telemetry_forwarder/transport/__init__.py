"""Sends one request to an endpoint and returns its response."""
