"""The command `check`: reads the settings, prints what they come to and what is found of each endpoint.

Exit status: 0 if everything can be delivered, 1 if something cannot, 2 for wrong usage.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from telemetry_forwarder.check.checker import TIMEOUT_S, Checker
from telemetry_forwarder.check.findings import Finding, Verdict
from telemetry_forwarder.check.settings_list import endpoint_lines, settings_lines
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.frozen import frozen

_DESCRIPTION = """
Read the settings, print what each comes to, and send one marked item of each signal to its endpoint.
Exit status: 0 if everything can be delivered, 1 if something cannot, 2 for wrong usage.
"""


@frozen
class Source:
    """The variables, and where they come from."""

    environ: Mapping[str, str]
    name: str


class EnvFileError(Exception):
    """The file of variables cannot be read; the message says why."""


def run(name: str, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command line *arguments* of the program *name*; return the exit status. Blocks; prints."""
    parser = argparse.ArgumentParser(prog=name, description="Lambda starts this program without arguments.")
    check = parser.add_subparsers(dest="command", required=True).add_parser(
        "check", help="check the settings and the endpoints", description=_DESCRIPTION
    )
    check.add_argument("--env-file", metavar="FILE", help="read the variables from FILE instead of the environment")
    check.add_argument(
        "--timeout", type=_seconds, default=None, metavar="SECONDS", help="for each signal, 10 by default"
    )
    try:
        options = parser.parse_args(arguments)
        source = _read_env_file(options.env_file) if options.env_file else Source(environ, "environment")
    except EnvFileError as exc:
        sys.stderr.write(f"{name}: {exc}\n")
        return 2
    except SystemExit as exc:
        # The process may end without it.
        sys.stdout.flush()
        return exc.code if isinstance(exc.code, int) else 2
    return _check(source, options.timeout)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0.1 <= (seconds := float(text)) <= 600:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.1 to 600")


def _read_env_file(path: str) -> Source:
    """Read lines of NAME=value, as `docker run --env-file` does."""
    environ: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError) as exc:
        raise EnvFileError(f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    for number, line in enumerate(lines, 1):
        variable, equals, value = line.strip().removeprefix("export ").partition("=")
        if not variable or variable.startswith("#"):
            continue
        if not equals:
            # The line itself may be a secret.
            raise EnvFileError(f"{path}, line {number} is not NAME=value")
        environ[variable.strip()] = value
    return Source(environ, path)


def _check(source: Source, timeout_s: float | None) -> int:
    checker = Checker(source.environ, Clock(), timeout_s=timeout_s or TIMEOUT_S)
    for line in _settings_part(checker, source):
        _print(checker, line)
    failed = []
    for signal in checker.endpoints:
        _print(checker, f"\n{signal} -> {checker.subject(signal).shown_url}")
        for finding in checker.findings(signal):
            for line in lines_of(finding):
                _print(checker, line)
            if finding.verdict is Verdict.FAILED:
                failed.append(signal)
    checker.close()
    fine = [signal for signal in checker.endpoints if signal not in failed]
    _print(checker, f"\ndelivered: {', '.join(fine) or 'none'}; not delivered: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _settings_part(checker: Checker, source: Source) -> Iterator[str]:
    yield f"settings, from {source.name}:"
    for line in settings_lines(checker.settings, source.environ, source.name):
        yield f"  {line}"
    service = str(checker.resource.attributes["service.name"])
    yield f"  service.name = {service}"
    yield f"  temporality of metrics = {checker.temporality}"
    shown: set[str] = set()
    for signal in checker.endpoints:
        yield f"{signal}:"
        lines = [line for line in endpoint_lines(checker.subject(signal), source.environ) if line not in shown]
        shown.update(lines)
        yield from (f"  {line}" for line in lines)
    for problem in checker.problems:
        yield from lines_of(Finding("settings", Verdict.WARNING, problem))


def lines_of(finding: Finding) -> Iterator[str]:
    """Yield the lines that show *finding*."""
    yield f"  {finding.stage:<10} {finding.verdict.value:<7}  {finding.text}"
    if finding.advice:
        yield f"{'':21}> {finding.advice}"


def _print(checker: Checker, line: str) -> None:
    # In any encoding, and at once: a stage may take seconds.
    sys.stdout.buffer.write(f"{checker.mask.own(line)}\n".encode(sys.stdout.encoding or "utf-8", "replace"))
    sys.stdout.buffer.flush()
