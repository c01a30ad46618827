"""Lets the real extension live for a simulated day: `python -m tests.long_life` prints a table.

The process is frozen between invocations, as by Lambda, and its clocks move on meanwhile.
"""
