"""Calls the converter while the main thread may take over everything else: a conversion can take long.

What a conversion has produced and counted enters the store and the ledger only after it, in one step. So a post whose
conversion is overtaken is still in the backlog, and nothing of it is counted.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import Batch
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.receiver.messages import Body

_Result = TypeVar("_Result")


class SharedConverter:
    """For the thread that has the ownership. While the converter is in use, its own state cannot be handed over."""

    def __init__(self, converter: Converter, ownership: Ownership, *, counts: Ledger, ledger: Ledger) -> None:
        """*counts* is what *converter* counts in; it is moved to *ledger* after each call."""
        self.converter = converter
        """For calls that are short."""
        self._ownership = ownership
        self._counts = counts
        self._ledger = ledger
        self.is_in_use = False
        """Whether another thread is in the middle of a call, and has lost the ownership."""

    def convert(self, body: Body, *, is_of_earlier_process: bool = False) -> ConversionResult:
        """Convert a slice of *body*; does not change it."""
        convert = self.converter.convert_spooled if is_of_earlier_process else self.converter.convert
        return self._call(lambda: convert(body.content, body.observed_ns, body.at))

    def collect(self, now_ns: int, measurements: Sequence[Measurement] = ()) -> list[Batch]:
        """Return the pending spans and metrics, and *measurements*."""
        return self._call(lambda: self.converter.collect(now_ns, measurements))

    def finish(self, reason: str, now_ns: int) -> None:
        """End what is still open because of a SHUTDOWN for *reason*."""
        self._call(lambda: self.converter.finish(reason, now_ns))

    def _call(self, function: Callable[[], _Result]) -> _Result:
        self.is_in_use = True
        self._ownership.leave()
        try:
            return function()
        finally:
            # It raises if the main thread has taken over: then nothing of this call counts.
            self._ownership.enter()
            self.is_in_use = False
            self._ledger.add_records_of(self._counts)
