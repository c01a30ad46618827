"""Holds batches in memory and on disk until they are delivered, and counts every item."""
