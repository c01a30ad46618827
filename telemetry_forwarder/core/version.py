"""The version of this program, for its package, its instrumentation scopes and its User-Agent."""

VERSION = "0.1.0"
