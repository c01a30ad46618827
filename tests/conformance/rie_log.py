"""Reads what AWS's emulator writes at the level debug. Pure.

The binary holds two emulators, each with a log format of its own; the older, of the standard mode, does not print
the exit status of a process.
"""

import re
from dataclasses import dataclass
from datetime import datetime

_API_CALL = re.compile(r"API request - ([A-Z]+) ([^ ,]+)|msg=\"API request\" method=([A-Z]+) url=([^ ]+)")
_DURATION = re.compile(r"\tDuration: ([\d.]+) ms")


@dataclass(frozen=True, slots=True)
class Life:
    """One process of an extension; *exit_status* is negative for a signal."""

    ended_unix_s: float
    exit_status: int


def api_calls(log: str) -> list[str]:
    """'METHOD path' of the calls to the Extensions API and, on managed instances, to the Telemetry API."""
    calls = ("{} {}".format(*filter(None, match.groups())) for match in _API_CALL.finditer(log))
    return [call for call in calls if "/2018-06-01/runtime/" not in call]


def durations_ms(log: str) -> list[float]:
    """Of each invocation, with its init and what its extensions took."""
    return [float(found) for found in _DURATION.findall(log)]


def managed_lives(log: str, extension: str) -> list[Life]:
    """Every life of *extension* that is over, on a managed instance."""
    ends = re.finditer(
        rf"Time:(\S+) Event:{{EvType:process_termination Name:extension-{re.escape(extension)} "
        r"Cause:\w+ Signo:(\S+) ExitStatus:(\S+) ",
        log,
    )
    return [_life(*end.groups()) for end in ends]


def _life(time: str, signal_number: str, exit_status: str) -> Life:
    status = -int(signal_number) if exit_status == "<nil>" else int(exit_status)
    return Life(ended_unix_s=datetime.fromisoformat(time).timestamp(), exit_status=status)
