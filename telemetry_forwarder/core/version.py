"""The version of this program, as pyproject.toml, the scopes of its telemetry and its User-Agent say it."""

VERSION = "0.1.0"
