"""What an event became is what the extension's conversion makes of it."""

from typing import Any

from tests.demo.events import convert

ID = "2f7a3b1c-0000-4000-8000-000000000001"


def event(type_: str, record: Any) -> dict[str, Any]:
    return {"time": "2026-09-22T06:30:01.000Z", "type": type_, "record": record}


INIT_START = event("platform.initStart", {"initializationType": "on-demand", "phase": "init"})
INIT_REPORT = event(
    "platform.initReport",
    {"initializationType": "on-demand", "phase": "init", "status": "success", "metrics": {"durationMs": 9.5}},
)
START = event("platform.start", {"requestId": ID, "version": "7"})
LINE = event("function", f"[INFO]\t2026-09-22T06:30:01.100Z\t{ID}\thello\n")
RUNTIME_DONE = event("platform.runtimeDone", {"requestId": ID, "status": "success", "metrics": {"durationMs": 2.5}})
REPORT = event(
    "platform.report",
    {"requestId": ID, "status": "success", "metrics": {"durationMs": 2.5, "billedDurationMs": 3, "memorySizeMB": 128}},
)


def test_each_event_is_followed_by_what_it_became() -> None:
    became = list(convert([INIT_START, INIT_REPORT, START, LINE, RUNTIME_DONE]))

    assert [(each.log_records, each.spans, each.metrics) for each in became] == [
        ((), (), ()),
        ((), (), ()),
        ((), ("init",), ("faas.init_duration",)),
        (("hello",), (), ()),
        ((), ("orders",), ("faas.invocations", "faas.coldstarts", "faas.invoke_duration")),
    ]
    assert became[3].record == LINE["record"]
    assert became[2].record == f'{{"requestId":"{ID}","version":"7"}}'


def test_gauge_is_named_only_where_it_is_from() -> None:
    done_again = event("platform.runtimeDone", {**RUNTIME_DONE["record"], "requestId": ID.replace("1", "2")})

    became = list(convert([START, RUNTIME_DONE, REPORT, done_again]))

    assert became[2].metrics == ("lambda.billed_duration", "lambda.memory_size")
    assert became[3].metrics == ("faas.invocations", "faas.invoke_duration")
