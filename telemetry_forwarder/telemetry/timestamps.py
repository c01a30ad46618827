"""Parses the timestamps of log lines and events into int nanoseconds since the epoch.

Never raises. A time without an offset is UTC, Lambda's time zone unless the user sets another.
"""

import re
from datetime import date
from typing import Any

from telemetry_forwarder.core.cache import BoundedCache

_S = 1_000_000_000
# From the year 2000 to the last second of int64 nanoseconds, in 2262.
_FIRST_S = 946_684_800
_LAST_S = 9_223_372_036
_EPOCH_DAY = date(1970, 1, 1).toordinal()

# The size of a number shows its unit: the valid ranges of s, ms, us and ns do not overlap.
_UNITS_NS = (_S, 1_000_000, 1_000, 1)

# The value of the last digit, by the number of digits of a fraction.
_PLACES_NS = (_S, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1)

# The fraction may follow a comma (Python's logging) or a colon (a typo in AWS's own documentation).
_DATE_AND_TIME = re.compile(
    r"\s*(\d{4})[-/](\d\d)[-/](\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,:](\d{1,30}))?)?"
    r"\s*(?:([Zz]|UTC|GMT)|([+-])(\d\d):?(\d\d)?)?\s*",
    re.ASCII,
)
# Longer than any fraction of nanoseconds and its Z, so that long texts do not fill the cache.
_MAX_LENGTH = 32
_NUMBER = re.compile(r"\s*(\d{9,20})(?:\.(\d{0,30}))?\s*", re.ASCII)


def parse_time_ns(value: Any) -> int:
    """Return the time of *value*; 0 if it is invalid, before the year 2000 or beyond int64 nanoseconds.

    Accepts ISO 8601 and similar formats, and seconds, milliseconds, microseconds or nanoseconds since the epoch as a
    number or as text.
    """
    if isinstance(value, str):
        # Most lines have a date, a time, and at most a fraction and a Z.
        if second_ns := _seconds_ns[value[:19]]:
            fraction_ns = _fractions_ns[value[19:_MAX_LENGTH]]
            if fraction_ns >= 0:
                return second_ns + fraction_ns
        return _parse_date(value) or _parse_digits(value)
    if isinstance(value, int):
        return _within_range(value * _unit_ns(value))
    if isinstance(value, float) and (unit_ns := _unit_ns(value)):
        # A float of this size is exact to about a microsecond: further digits are noise.
        return _within_range(round(value * (unit_ns / 1_000)) * 1_000)
    return 0


def _second_ns(text: str) -> int:
    """Return the time at the beginning of a text, to the second; 0 if invalid or already followed by a zone."""
    second_ns = _parse_date(text) if text[16:17] == ":" else 0
    return second_ns if second_ns < _LAST_S * _S else 0


def _fraction_ns(text: str) -> int:
    """Return the fraction after the second: `.5Z`, `,500` or nothing; -1 if it is something else."""
    digits = text.removesuffix("Z")
    if not digits:
        return 0
    is_fraction = digits[0] in ".,:" and digits[1:].isdecimal() and digits.isascii() and len(digits) <= 10
    return int(digits[1:]) * _PLACES_NS[len(digits) - 1] if is_fraction else -1


# All lines of one second begin alike, and there are a thousand fractions in milliseconds.
_seconds_ns = BoundedCache(_second_ns, 64)
_fractions_ns = BoundedCache(_fraction_ns, 2_048)


def _parse_date(text: str) -> int:
    match = _DATE_AND_TIME.fullmatch(text)
    if match is None:
        return 0
    year, month, day, hour, minute, second, fraction, _, sign, offset_hours, offset_minutes = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return 0
    offset_s = int(offset_hours or 0) * 3_600 + int(offset_minutes or 0) * 60
    # A leap second is 60; no zone is a day or more ahead.
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60 or offset_s >= 86_400:
        return 0
    time_s = days * 86_400 + int(hour) * 3_600 + int(minute) * 60 + int(second or 0)
    time_s += offset_s if sign == "-" else -offset_s
    return _within_range(time_s * _S + _fraction(fraction or "", 9))


def _parse_digits(text: str) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return 0
    whole = int(match[1])
    unit_ns = _unit_ns(whole)
    return _within_range(whole * unit_ns + _fraction(match[2] or "", len(str(unit_ns)) - 1))


def _unit_ns(number: float) -> int:
    """Return the unit of a time since the epoch; 0 if it is outside of the range in every unit."""
    for unit_ns in _UNITS_NS:
        if _FIRST_S <= number * unit_ns // _S <= _LAST_S:
            return unit_ns
    return 0


def _fraction(digits: str, places: int) -> int:
    """Return a decimal fraction in units of the last place: `5` to 9 places is 500,000,000. Truncates."""
    return int(digits[:places].ljust(places, "0") or 0)


def _within_range(time_ns: int) -> int:
    return time_ns if _FIRST_S * _S <= time_ns < 1 << 63 else 0
