"""Parses the debug log of AWS's emulator.

The binary contains two emulators with different log formats. The older one, of the standard mode, does not log the
exit status of a process.
"""

import re
from dataclasses import dataclass
from datetime import datetime

_API_CALL = re.compile(r"API request - ([A-Z]+) ([^ ,]+)|msg=\"API request\" method=([A-Z]+) url=([^ ]+)")
_DURATION = re.compile(r"\tDuration: ([\d.]+) ms")


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """The end of one process of an extension; *exit_status* is negative for a signal."""

    ended_unix_s: float
    exit_status: int


def api_calls(log: str) -> list[str]:
    """Return 'METHOD path' of each call to the Extensions API and, on managed instances, the Telemetry API."""
    calls = ("{} {}".format(*filter(None, match.groups())) for match in _API_CALL.finditer(log))
    return [call for call in calls if "/2018-06-01/runtime/" not in call]


def durations_ms(log: str) -> list[float]:
    """Return the duration of each invocation, including its init and its extensions."""
    return [float(found) for found in _DURATION.findall(log)]


def managed_exits(log: str, extension: str) -> list[ProcessExit]:
    """Return the exits of *extension* on a managed instance."""
    ends = re.finditer(
        rf"Time:(\S+) Event:{{EvType:process_termination Name:extension-{re.escape(extension)} "
        r"Cause:\w+ Signo:(\S+) ExitStatus:(\S+) ",
        log,
    )
    return [_process_exit(*end.groups()) for end in ends]


def _process_exit(time: str, signal_number: str, exit_status: str) -> ProcessExit:
    status = -int(signal_number) if exit_status == "<nil>" else int(exit_status)
    return ProcessExit(ended_unix_s=datetime.fromisoformat(time).timestamp(), exit_status=status)
