"""Runs the worker thread: connects all parts and runs the loop."""
