"""Whatever a line contains, it becomes one valid log record."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.log_formats.json_keys import CONTAINERS, FIELD_OF
from telemetry_forwarder.settings import Settings
from tests.log_formats.test_lines import ROWS
from tests.support.otlp_messages import log_records
from tests.support.posts import OBSERVED_NS
from tests.support.properties import FAST
from tests.support.stories import counted_ids
from tests.support.strategies import json_values

ID = "8286a188-ba32-4475-8077-530cd35c09a9"
KEYS = st.sampled_from(
    [*FIELD_OF, *CONTAINERS, "faas.invocation_id", "lambda.tenant_id", "event.name", "lambda.line.level", "", "\ud800"]
) | st.text(max_size=3)
VALUES = (
    st.sampled_from([ID, "error", "INFO", 400, "a\nb", "E: no\n    at x", {"requestId": ID}, 2**70]) | json_values()
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)
LINES = st.sampled_from([row["line"] for _, row in ROWS]) | OBJECTS | OBJECTS.map(json.dumps) | st.text()
PREFIXES = st.sampled_from(["", f"[INFO]\t2026-09-22T06:30:00.100Z\t{ID}\t", "ERROR:root:", "2026/09/22 06:30:00 "])


def converted(records: list[Any], *, keep_raw: bool) -> list[LogRecord]:
    settings = {"TELEMETRY_FORWARDER_RAW_LINES": str(keep_raw).lower(), "TELEMETRY_FORWARDER_JOIN_LINES": "false"}
    converter = Converter(
        Settings(settings),
        Resource({}),
        Ledger(),
        version="0",
        temporality="delta",
        is_managed=False,
        new_id=counted_ids(),
        unix_ns=lambda: OBSERVED_NS,
    )
    start = {"requestId": ID, "tenantId": "blue"}
    events = [{"time": "2026-09-22T06:30:00.000Z", "type": "platform.start", "record": start}]
    events += [{"time": "2026-09-22T06:30:00.100Z", "type": "function", "record": record} for record in records]
    found = []
    for batch in [
        *converter.convert(json.dumps(events).encode(), OBSERVED_NS).batches,
        *converter.collect(OBSERVED_NS),
    ]:
        if batch.signal == LOGS:
            found += [record for *_, record in log_records(ExportLogsServiceRequest.FromString(batch.body))]
    return found


@FAST
@given(st.lists(st.tuples(PREFIXES, LINES), max_size=5), st.booleans())
def test_a_line_becomes_one_valid_record(lines: list[tuple[str, Any]], keep_raw: bool) -> None:
    records = [prefix + line if isinstance(line, str) else line for prefix, line in lines]

    found = converted(records, keep_raw=keep_raw)

    assert len(found) == len(records)
    for record in found:
        keys = [pair.key for pair in record.attributes]
        assert (len(set(keys)), "" in keys) == (len(keys), False)
        assert (len(record.trace_id) in (0, 16), len(record.span_id) in (0, 8)) == (True, True)
        assert bool(record.trace_id) or not record.span_id
        assert record.severity_number in range(25)
