"""Paths of a checkout."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
PROJECT = TESTS.parent
PRODUCT = PROJECT / "telemetry_forwarder"
LAYER = PROJECT / "layer"
FUNCTIONS = TESTS / "functions"
RECORDS = TESTS / "records"
