"""Maps the level names and numbers of common loggers to OTLP's severity number, 0 if unknown. Pure.

https://opentelemetry.io/docs/specs/otel/logs/data-model-appendix/#appendix-b-severitynumber-example-mappings
"""

import re

from telemetry_forwarder.core.cache import BoundedCache

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
    # syslog, and PHP's own.
    "INFORMATIONAL": 9, "NOTICE": 10, "ALERT": 19, "EMERG": 21, "EMERGENCY": 21, "DEPRECATED": 13,
    "PARSE ERROR": ERROR, "FATAL ERROR": 21,
    # zap and zerolog; logrus writes four letters.
    "DPANIC": 18, "PANIC": 19, "TRC": 1, "PNC": 19, "TRAC": 1, "DEBU": 5, "ERRO": ERROR, "EROR": ERROR,
    "FATA": 21, "PANI": 19,
    # winston and npm: their "verbose" is above debug and in lower case, Serilog's is never in lower case.
    "SILLY": 1, "verbose": 6, "HTTP": 7,
    # loguru, and NestJS.
    "SUCCESS": 10, "LOG": 9, "NOTE": 10,
    # klog, and Ruby's first column.
    "I": 9, "W": 13, "E": ERROR, "F": 21,
    # Tornado adds these.
    "D": 5, "C": 21,
}  # fmt: skip

# Index: the level divided by ten.
_PINO = (0, 1, 5, 9, 13, 17, 21)
_PYTHON = (0, 5, 9, 13, 17, 21)
# Monolog's numbers, and those of log4j's classes, which log4js and Logstash use.
_BY_NUMBER = {
    100: "DEBUG", 200: "INFO", 250: "NOTICE", 300: "WARNING", 400: "ERROR", 500: "CRITICAL", 550: "ALERT",
    600: "EMERGENCY", 5_000: "TRACE", 10_000: "DEBUG", 20_000: "INFO", 30_000: "WARN", 40_000: "ERROR", 50_000: "FATAL",
}  # fmt: skip
# https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity
_GOOGLE = {100: 5, 200: 9, 300: 10, 400: 13, 500: ERROR, 600: 21, 700: 19, 800: 21}
# https://datatracker.ietf.org/doc/html/rfc5424#section-6.2.1
_SYSLOG = (21, 19, 21, ERROR, 13, 10, 9, 5)

# Go's slog writes levels between its four as an offset from one of them; handlers shorten the names.
_SLOG = re.compile(r"(DEBUG|INFO|WARN|ERROR|DBG|INF|WRN|ERR)([+-]\d{1,2})", re.ASCII)
# https://ecma-international.org/publications-and-standards/standards/ecma-48/
_COLOURS = re.compile(r"\x1b\[[0-9;]{0,20}m")
# Longer texts are no level, and need not be searched.
_MAX_LENGTH = 64


def from_name(level: str) -> int:
    """Return the severity of a level name in any case, padded, in brackets or coloured, or of a number as text."""
    # The unchanged name first: it is the usual case.
    return _NAMES.get(level) or (_unusual_names[level] if len(level) <= _MAX_LENGTH else 0)


def clean(level: str) -> str:
    """Return a level without colours, padding and brackets."""
    return remove_colours(level).strip(" \t[]<>:")


def remove_colours(text: str) -> str:
    """Return *text* without the escape sequences that set colours and fonts in a terminal."""
    return _COLOURS.sub("", text) if "\x1b" in text else text


def from_number(level: int) -> int:
    """Return the severity of a numeric `level`: pino's, bunyan's, Monolog's or log4j's. Python's is `levelno`."""
    return _NAMES[_BY_NUMBER[level]] if level in _BY_NUMBER else _scale(level, _PINO)


def from_python(level: int) -> int:
    """Return the severity of a number of Python's `logging`: 10 is debug, 50 is critical."""
    return 24 if level > 53 else _scale(level, _PYTHON)


def from_severity(severity: int) -> int:
    """Return the severity of a number called `severity`: OpenTelemetry's own, or Google's."""
    return severity if 1 <= severity <= 24 else _GOOGLE.get(severity, 0)


def from_syslog(level: int) -> int:
    """Return the severity of syslog's numbers, which GELF uses: 0 is emergency, 7 is debug."""
    return _SYSLOG[level] if 0 <= level < len(_SYSLOG) else 0


def _from_unusual_name(name: str) -> int:
    level = clean(name)
    if number := _NAMES.get(level) or _NAMES.get(level.upper()):
        return number
    if match := _SLOG.fullmatch(level):
        return min(max(_NAMES[match[1]] + int(match[2]), 1), 24)
    return from_number(int(level)) if len(level) in (2, 3) and level.isascii() and level.isdecimal() else 0


# Many loggers write names in lower case.
_unusual_names = BoundedCache(_from_unusual_name, 256)


def _scale(level: int, scale: tuple[int, ...]) -> int:
    # A level between two of the scale is above the lower one, within OTLP's four numbers per level.
    tens, above = divmod(level, 10)
    return scale[tens] + min(above, 3) if 1 <= tens < len(scale) else 0
