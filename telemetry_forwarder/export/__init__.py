"""Delivers batches: retries, splitting, circuit breaking, one request in flight per signal."""
