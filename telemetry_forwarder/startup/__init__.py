"""Imports the modules that take long to import, at low cost, while Lambda starts the runtime."""
