"""Maps the level names and numbers of common loggers to OTLP's severity number, 0 if unknown. Pure.

https://opentelemetry.io/docs/specs/otel/logs/data-model-appendix/#appendix-b-severitynumber-example-mappings
"""

import re

ERROR = 17

_NAMES = {
    # Lambda's own, shared by Python, Node, Java, Ruby, Rust and Go.
    "TRACE": 1, "ALL": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "WARNING": 13, "ERROR": ERROR, "FATAL": 21,
    "CRITICAL": 21,
    # .NET: short in text lines, full names, and Serilog's short ones.
    "TRCE": 1, "DBUG": 5, "INFORMATION": 9, "FAIL": ERROR, "CRIT": 21, "VERBOSE": 1, "VRB": 1, "DBG": 5,
    "INF": 9, "WRN": 13, "ERR": ERROR, "FTL": 21,
    # java.util.logging.
    "FINEST": 1, "FINER": 5, "FINE": 6, "CONFIG": 7, "SEVERE": ERROR,
    # syslog.
    "INFORMATIONAL": 9, "NOTICE": 10, "ALERT": 19, "EMERG": 21, "EMERGENCY": 21,
    # zap.
    "DPANIC": 18, "PANIC": 19,
    # winston and npm: their "verbose" is above debug and in lower case, Serilog's is never in lower case.
    "SILLY": 1, "verbose": 6, "HTTP": 7,
}  # fmt: skip

# Index: the level divided by ten.
_PINO = (0, 1, 5, 9, 13, 17, 21)
_PYTHON = (0, 5, 9, 13, 17, 21)

# Go's slog writes levels between its four as an offset from one of them.
_SLOG = re.compile(r"(DEBUG|INFO|WARN|ERROR)([+-]\d{1,2})", re.ASCII)


def from_name(level: str) -> int:
    """Return the severity of a level name in any case, or of a pino number written as text."""
    # The unchanged name first: it is the usual case, and much cheaper.
    return _NAMES.get(level) or _NAMES.get(level.strip().upper()) or _from_unusual_name(level)


def from_pino(level: int) -> int:
    """Return the severity of a numeric `level`: pino's and bunyan's scale, 10 is trace. Python's is `levelno`."""
    return _scale(level, _PINO)


def from_python(level: int) -> int:
    """Return the severity of a number of Python's `logging`: 10 is debug, 50 is critical."""
    return 24 if level > 53 else _scale(level, _PYTHON)


def _from_unusual_name(level: str) -> int:
    if match := _SLOG.fullmatch(level):
        return min(max(_NAMES[match[1]] + int(match[2]), 1), 24)
    return from_pino(int(level)) if len(level) == 2 and level.isdecimal() else 0


def _scale(level: int, scale: tuple[int, ...]) -> int:
    # A level between two of the scale is above the lower one, within OTLP's four numbers per level.
    tens, above = divmod(level, 10)
    return scale[tens] + min(above, 3) if 1 <= tens < len(scale) else 0
