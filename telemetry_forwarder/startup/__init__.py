"""Imports the heavy modules at low cost, while Lambda boots the runtime."""
