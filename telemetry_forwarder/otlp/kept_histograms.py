"""The SDK's aggregation of a histogram, made once. No I/O and no thread.

After each collection of deltas the SDK makes a new one for the next, and looks at each of its bounds: with the seven
histograms of a warm invocation 0.18 of its 5.6 million instructions (callgrind, CPython 3.11). It does the same work
as before; the tests compare what is read, and notice when the SDK keeps its own.
"""

from typing import Any

from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation


class KeptHistograms(ExplicitBucketHistogramAggregation):
    """With each instrument's own bounds. One is kept by the instrument's name, for measurements without attributes.

    For the views of one provider with one reader: others would share what is kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Any] = {}

    def _create_aggregation(
        self, instrument: Any, attributes: Any, reservoir_factory: Any, start_time_unix_nano: int
    ) -> Any:
        # The SDK also makes one for itself, of no attributes at all, to know the kind.
        if attributes != {}:
            return super()._create_aggregation(
                instrument, attributes, reservoir_factory, start_time_unix_nano
            )
        kept: Any = self._kept.get(instrument.name)
        if kept is None:
            kept = self._kept[instrument.name] = super()._create_aggregation(
                instrument, attributes, reservoir_factory, start_time_unix_nano
            )
        # Empty it is: the collection before has seen to that.
        kept._previous_collection_start_nano = start_time_unix_nano
        return kept
