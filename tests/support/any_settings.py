"""Draws combinations of settings, valid, invalid and hostile, and forwards one record with them.

`python -m tests.support.any_settings [COUNT] [FIRST]` tries combinations and prints those that stop forwarding.
"""

import random
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import SIGNALS
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.endpoints.options import OPTIONS, OWN, SHARED
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, ShutdownEvent
from telemetry_forwarder.settings import PREFIX, SETTINGS, Settings
from telemetry_forwarder.worker.wiring import build_forwarder
from tests.support.captured_log import CapturedLog
from tests.support.collector import FakeCollector

_SIGNAL_PARTS = ("", *(f"{signal.upper()}_" for signal in SIGNALS))
NAMES = (
    *(PREFIX + setting.name for setting in SETTINGS),
    *(f"{prefix}{part}{option.name}" for prefix in (*OWN, *SHARED) for part in _SIGNAL_PARTS for option in OPTIONS),
    *(case(f"{scheme}_proxy") for scheme in ("http", "https", "all", "no") for case in (str.lower, str.upper)),
    *("SSL_CERT_FILE", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    *("AWS_REGION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
    *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"),
)
"""Every variable that the extension reads."""

_HOSTS = (
    *(
        "127.0.0.1",
        "[::1]",
        "10.255.255.1",
        "256.1.1.1",
        "1.2.3",
        "1-2-3-4",
        "[",
        "[v1.x]",
        "a..b",
        "-a-",
        "xn--a",
        "*",
    ),
    *("ß", "İ", "\udcff", "a b", ".", "", "u:p@127.0.0.1", "u:%ff@127.0.0.1", "u:\udcff@127.0.0.1", "u:é@127.0.0.1"),
)
_ENDS = (
    "",
    ":1",
    ":0",
    ":",
    "²",
    ":²",
    ":" + "9" * 4_300,
    ":1/\udcff",
    ":1/?\udcff=\udcff",
    ":1/%zz",
    ":1/a b",
    ":1/é",
)
_NUMBERS = (
    *(
        "0",
        "1",
        "-1",
        "500",
        "1e308",
        "1e999",
        "-inf",
        "inf",
        "nan",
        "1_0",
        "0x10",
        "²",
        "٣",
        "9" * 4_300,
        "-" + "9" * 5_000,
    ),
    *("every 5 s", "every ² s", "every " + "9" * 5_000),
)
_TEXTS = (
    *(
        "",
        " ",
        '"',
        '""',
        "'",
        "\udcff",
        "a=\udcff",
        "\udcff=a",
        "a=b,c,=d,e=%0a,host=x",
        "a=b",
        "x" * 100_000,
        "é",
        "\x01",
    ),
    *(
        "\u2028",
        "a\nb",
        "%ff",
        "*",
        "a:²,b:x,10.0.0.0/²",
        "127.0.0.1:" + "9" * 4_300,
        "/tmp/\udcff",
        "/dev/null/x",
        "/proc/x",
    ),
    *(
        "/" + "x" * 5_000,
        "/etc/passwd",
        "/etc",
        "true",
        "grpc",
        "http/json",
        "gzip",
        "end",
        "tcp",
        "logs,x",
        "none",
        "all",
    ),
)
SECONDS = 0.5
_POST = b'[{"time":"2026-01-01T00:00:00.000Z","type":"function","record":"x"}]'


def url(choice: random.Random) -> str:
    scheme = choice.choice(("http://", "https://", "HTTP://", "socks5://", "://", ""))
    return scheme + choice.choice(_HOSTS) + choice.choice(_ENDS)


def value(choice: random.Random) -> str:
    """Return a value as Python reads it from an environment: any bytes but NUL, as UTF-8 with surrogates."""
    match choice.randrange(6):
        case 0:
            return choice.choice(_NUMBERS)
        case 1 | 2:
            return choice.choice(_TEXTS)
        case 3:
            return choice.choice(_TEXTS) + choice.choice((",", "", "=")) + choice.choice(_NUMBERS)
        case 4:
            # A prefix that makes it no host name: nothing is looked up outside.
            noise = bytes(choice.randrange(1, 256) for _ in range(choice.randrange(20)))
            return "=" + noise.decode("utf-8", "surrogateescape")
        case _:
            return url(choice)


def combination(number: int) -> dict[str, str]:
    """Return one to six variables; the same for the same *number*."""
    choice = random.Random(f"settings {number}")
    drawn = {name: value(choice) for name in choice.sample(NAMES, choice.choice((1, 1, 2, 3, 6)))}
    # Proxies matter only for an endpoint that is not on this host.
    if choice.random() < 0.3:
        drawn |= {f"{PREFIX}ENDPOINT": "http://10.255.255.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    return drawn


def forward_once(environ: Mapping[str, str], seconds: float) -> list[str]:
    """Forward one record until a SHUTDOWN after *seconds*; return the log lines, the last one with the accounts."""
    with CapturedLog() as captured:
        # Other tests leave some that wait for a file without end.
        others = threading.enumerate()
        clock, inbox = Clock(), Inbox(1_000_000)
        settings, log = Settings(environ), captured.diagnostics(clock)
        if settings.spool_dir == Settings({}).spool_dir:
            # All tests would share it.
            settings.spool_bytes = 0
        for problem in settings.problems:
            log.warn(problem)
        forwarder = build_forwarder(settings, environ, b"{}", inbox=inbox, ownership=Ownership(), clock=clock, log=log)
        event = ShutdownEvent("timeout", Deadline.after(seconds, clock))
        inbox.put_body(Body(_POST, clock.unix_ns()))
        inbox.put_event(event)
        forwarder.limit_work_to_shutdown(event)
        forwarder.run(on_warm=lambda: None)
        forwarder.flusher.exporters.close()
        # They log what is wrong with the files.
        for thread in threading.enumerate():
            if thread.name == "certificates" and thread not in others:
                thread.join()
        return sorted(captured.lines, key=lambda line: line.startswith("INFO records received"))


def try_combination(number: int, endpoint: str, folder: Path) -> str:
    """Return what is wrong with the outcome of a combination; empty if it is as it should be."""
    drawn = combination(number)
    environ = {f"{PREFIX}ENDPOINT": endpoint, f"{PREFIX}SPOOL_DIR": str(folder)} | drawn
    try:
        lines = forward_once(environ, SECONDS)
    except Exception as exc:  # noqa: BLE001  # any of them would end forwarding
        return f"{type(exc).__name__}: {exc}"
    warnings = [line for line in lines if line.startswith("WARN") and not is_about_delivery(line)]
    unnamed = [line for line in warnings if not any(name in line for name in (*environ, f"{SHARED[0]}ENDPOINT"))]
    repeated = [name for name in drawn if sum(line.startswith(f"WARN {name}:") for line in warnings) > 1]
    if unnamed or repeated:
        return f"no variable named: {unnamed}, named twice: {repeated}"
    return "" if "records received 1" in lines[-1] or "posts spooled 1" in lines[-1] else lines[-1]


def is_about_delivery(line: str) -> bool:
    return " does not accept telemetry: " in line or " refused " in line or " set aside " in line


def main() -> int:
    count, first = (int(text) for text in [*sys.argv[1:3], *("2000", "0")[len(sys.argv) - 1 :]])
    failures = 0
    with FakeCollector() as collector, tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            if wrong := try_combination(number, collector.endpoint, Path(folder, str(number))):
                failures += 1
                print(f"{number}: {wrong[:300]!a}\n    {str(combination(number))[:300]!a}", flush=True)
    print(f"{failures} of {count} combinations failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
