"""Delivers batches: retries, splitting, circuit breaking, one request at a time per signal."""
