"""Builds, checks and publishes the Lambda layer."""
