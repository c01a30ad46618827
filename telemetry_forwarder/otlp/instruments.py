"""Defines the instruments for what Lambda reports: names, units, bounds and descriptions. Pure data.

Names, units and bounds are those of the FaaS conventions; what these lack is named `lambda.*`. Units are seconds and
bytes. https://opentelemetry.io/docs/specs/semconv/faas/faas-metrics/
"""

from enum import Enum

from telemetry_forwarder.core.frozen import frozen


class Kind(Enum):
    """What an instrument makes of its measurements."""

    COUNTER = "sum of integers that are not negative"
    UP_DOWN_COUNTER = "sum of integers, always cumulative"
    HISTOGRAM = "number of values in each bucket; they are finite and not negative"
    GAUGE = "last integer, exported until it is replaced"


@frozen
class Instrument:
    """What is measured; the name is unique."""

    name: str
    unit: str
    kind: Kind
    description: str = ""
    bounds: tuple[float, ...] = ()
    """The upper bounds of a histogram's buckets, ascending. The last bucket has none."""


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
# The conventions advise no bounds for bytes, and the SDK's default bounds end at 10,000.
_MB = 1_048_576
# Lambda offers 128 MB to 10,240 MB.
_MEMORY = tuple(size * _MB for size in (32, 64, 128, 256, 512, 1024, 2048, 4096, 6144, 8192, 10240))
# A response has at most 6 MB, a streamed one 200 MB.
_PAYLOAD = (0, 1024, 16_384, 131_072, _MB, 6 * _MB, 20 * _MB, 200 * _MB)

HISTOGRAMS = {
    "faas.invoke_duration": ("s", _SECONDS, "How long the function took"),
    "faas.init_duration": ("s", _SECONDS, "How long the environment's init took"),
    "faas.mem_usage": ("By", _MEMORY, "The environment's highest memory use so far"),
    "lambda.billed_duration": ("s", _SECONDS, "What an invocation is billed for"),
    "lambda.restore_duration": ("s", _SECONDS, "How long it took to restore the snapshot"),
    "lambda.response_latency": ("s", _SECONDS, "Until the first byte of the response"),
    "lambda.response_duration": ("s", _SECONDS, "From the first byte of the response to its last"),
    "lambda.runtime_overhead": ("s", _SECONDS, "From the response until the runtime was done"),
    "lambda.extension_overhead": ("s", _SECONDS, "From the runtime's end until all extensions were done"),
    "lambda.produced_bytes": ("By", _PAYLOAD, "Size of the response"),
}
"""Name -> unit, bounds of the buckets, description."""

COUNTERS = {
    "faas.invocations": ("{invocation}", "Invocations that succeeded"),
    "faas.errors": ("{error}", "Invocations that failed, a handler's exceptions included"),
    "faas.timeouts": ("{timeout}", "Invocations that timed out"),
    "faas.coldstarts": ("{coldstart}", "Invocations that waited for an init or a restore"),
    "lambda.out_of_memory": ("{invocation}", "Invocations that ran out of memory"),
    "lambda.telemetry.dropped_records": ("{record}", "Telemetry that Lambda itself dropped"),
    "lambda.telemetry.dropped_bytes": ("By", "Telemetry that Lambda itself dropped"),
}
"""Name -> unit, description."""

MEMORY_SIZE = "lambda.memory_size"

INSTRUMENTS = {
    **{
        name: Instrument(name, unit, Kind.HISTOGRAM, description, bounds)
        for name, (unit, bounds, description) in HISTOGRAMS.items()
    },
    **{name: Instrument(name, unit, Kind.COUNTER, description) for name, (unit, description) in COUNTERS.items()},
    MEMORY_SIZE: Instrument(MEMORY_SIZE, "By", Kind.GAUGE, "The function's configured memory"),
}
"""All of them, by name."""
