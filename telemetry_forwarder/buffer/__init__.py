"""Keeps batches until they are delivered, in memory and on disk, and counts every item."""
