"""A small story for the tests of what draws it: a cold start, and an invocation that fails."""

from tests.demo.books import Account, Books
from tests.demo.events import Event
from tests.demo.messages import counter, gauge, histogram, invocation_span, log, span
from tests.demo.scenes import Scene

MESSAGES = [
    invocation_span(1, at=(800, 960), trace=1, faas__coldstart=True),
    span("init", 2, at=(0, 800), parent=1, trace=1),
    span("initRuntime", 3, at=(0, 400), parent=2, trace=1),
    log("loaded", at=400, severity=""),
    log("items reserved", at=880, parent=1, trace=1, order=7, faas__invocation_id="request-1"),
    span("charge", 4, at=(880, 940), parent=1, trace=1, scope="orders.sdk"),
    span("extensionOverhead", 5, at=(960, 1000), parent=1, trace=1),
    invocation_span(6, at=(2000, 2100), trace=2, error="declined <b>", error__type="CardDeclinedError"),
    log("CardDeclinedError: declined <b>\nTraceback", at=2090, parent=6, trace=2, severity="ERROR"),
    counter("faas.invocations", 1),
    counter("faas.errors", 1),
    counter("faas.coldstarts", 1),
    histogram("faas.invoke_duration", [0.16]),
    histogram("faas.invoke_duration", [0.1], at=1, error="CardDeclinedError"),
    histogram("faas.mem_usage", [64 * 2**20, 32 * 2**20], "By"),
    gauge("lambda.memory_size", 128 * 2**20, "By"),
]
SCENES = {"request-1": Scene("A cold start", "Lambda starts <it>.", {})}
BOOKS = Books({"logs": Account(3, 3, 0, 0, 3), "traces": Account(6, 6, 0, 0, 6)}, events_sent=9, events_received=9)
WRONG_BOOKS = Books({"logs": Account(3, 2, 1, 0, 2)}, events_sent=3, events_received=3)
EVENTS = [
    Event("2026-11-28T05:37:38.108Z", "platform.initStart", '{"phase": "init"}'),
    Event("2026-11-28T05:37:39.000Z", "function", "<raw>", log_records=("items reserved",)),
    Event("2026-11-28T05:37:40.000Z", "platform.runtimeDone", "{}", spans=("orders", "init"), metrics=("faas.errors",)),
]
