"""`./build.sh demo`: runs a real function and the extension in the Lambda emulator and prints the OTLP that arrives.

Exits with 0 only if everything that Lambda delivered has arrived.
"""

import sys
import tempfile
from collections import Counter

from tests.emulator import Lambda
from tests.support.collector import FakeCollector
from tests.support.opt_tree import assemble
from tests.support.paths import FUNCTIONS


def main() -> int:
    """Run three invocations, one of which fails; compare what was delivered with what arrived."""
    opt = assemble()
    with FakeCollector() as collector, tempfile.TemporaryDirectory() as spool:
        env = {
            "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
            "TELEMETRY_FORWARDER_SPOOL_DIR": spool,
            "TELEMETRY_FORWARDER_PLATFORM_LOGS": "all",
        }
        with Lambda(opt=opt, task=FUNCTIONS, env=env) as function:
            for event in ({"log": 3}, {"log": 1, "print": 2}, {"raise": True}):
                result = function.invoke(event)
                response_ms = (result.response_s or 0.0) * 1000
                print(f"invoked with {event}: {result.status} after {response_ms:.0f} ms")
            exits = function.shutdown()
        print(f"exit code of the extension: {', '.join(str(exit_.code) for exit_ in exits)}")
        for line in function.extension_output:
            print(f"  {line}")
        _print_logs(collector)
        _print_spans(collector)
        _print_metrics(collector)
        expected = len(function.delivered)
        arrived = len(collector.logs())
        own = sum("[telemetry-forwarder]" in str(event.get("record")) for event in function.delivered)
        print(f"Lambda delivered {expected} records, {own} of them the extension's own; {arrived} arrived as OTLP logs")
        return 0 if arrived == expected - own and all(exit_.code == 0 for exit_ in exits) else 1


def _print_logs(collector: FakeCollector) -> None:
    print("logs:")
    for _, scope, record in collector.logs():
        text = record.body.string_value or str(record.body)
        print(f"  {scope.name:<22} {record.severity_text or '-':<5} {text.splitlines()[0][:70]}")


def _print_spans(collector: FakeCollector) -> None:
    print("spans:")
    for _, _, span in collector.spans():
        ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        print(f"  {span.trace_id.hex()[-8:]} {span.name:<20} {ms:8.2f} ms")


def _print_metrics(collector: FakeCollector) -> None:
    counts = Counter(f"{metric.name} ({metric.unit})" for _, _, metric in collector.metrics())
    print("metrics:")
    for name in sorted(counts):
        print(f"  {name}")


if __name__ == "__main__":
    sys.exit(main())
