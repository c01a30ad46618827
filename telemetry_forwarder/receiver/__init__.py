"""Accepts the requests that Lambda sends and queues them for the worker."""
