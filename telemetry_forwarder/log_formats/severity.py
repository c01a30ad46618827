"""Knows what loggers call their levels: a name or number -> OTLP's severity number, 0 if unknown. Pure.

https://opentelemetry.io/docs/specs/otel/logs/data-model-appendix/#appendix-b-severitynumber-example-mappings
"""

import re

ERROR = 17

_NAMES = {
    # Lambda's own, which Python, Node, Java, Ruby, Rust and Go share.
    "TRACE": 1,
    "ALL": 1,
    "DEBUG": 5,
    "INFO": 9,
    "WARN": 13,
    "WARNING": 13,
    "ERROR": ERROR,
    "FATAL": 21,
    "CRITICAL": 21,
    # .NET: in text lines, in full, and Serilog's short ones.
    "TRCE": 1,
    "DBUG": 5,
    "INFORMATION": 9,
    "FAIL": ERROR,
    "CRIT": 21,
    "VERBOSE": 1,
    "VRB": 1,
    "DBG": 5,
    "INF": 9,
    "WRN": 13,
    "ERR": ERROR,
    "FTL": 21,
    # java.util.logging.
    "FINEST": 1,
    "FINER": 5,
    "FINE": 6,
    "CONFIG": 7,
    "SEVERE": ERROR,
    # syslog.
    "INFORMATIONAL": 9,
    "NOTICE": 10,
    "ALERT": 19,
    "EMERG": 21,
    "EMERGENCY": 21,
    # zap.
    "DPANIC": 18,
    "PANIC": 19,
    # winston and npm, whose "verbose" is above debug and in lower case, as Serilog's never is.
    "SILLY": 1,
    "verbose": 6,
    "HTTP": 7,
}

# By tens, from 0.
_PINO = (0, 1, 5, 9, 13, 17, 21)
_PYTHON = (0, 5, 9, 13, 17, 21)

# Go's slog writes what lies between its four levels as a distance from one of them.
_SLOG = re.compile(r"(DEBUG|INFO|WARN|ERROR)([+-]\d{1,2})", re.ASCII)


def of_name(level: str) -> int:
    """The severity of a level by its name, in any case; also of a pino level that was written as text."""
    # The lookup as it stands first: it is the usual case, and much cheaper.
    return _NAMES.get(level) or _NAMES.get(level.strip().upper()) or _of_odd_name(level)


def of_pino(level: int) -> int:
    """The severity of a number of pino or bunyan: 10 is trace, 60 is fatal."""
    return _on_scale(level, _PINO)


def of_python(level: int) -> int:
    """The severity of a number of Python's `logging`: 10 is debug, 50 is critical."""
    return 24 if level > 53 else _on_scale(level, _PYTHON)


def _of_odd_name(level: str) -> int:
    if match := _SLOG.fullmatch(level):
        return min(max(_NAMES[match[1]] + int(match[2]), 1), 24)
    return of_pino(int(level)) if len(level) == 2 and level.isdecimal() else 0


def _on_scale(level: int, scale: tuple[int, ...]) -> int:
    # Levels that users put in between are that much above the one below, within OTLP's four of a kind.
    tens, above = divmod(level, 10)
    return scale[tens] + min(above, 3) if 1 <= tens < len(scale) else 0
