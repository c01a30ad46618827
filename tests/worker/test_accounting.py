import threading

import pytest

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.core.batch import LOGS, POSTS
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.worker.accounting import Accounting
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock


def test_accounts_are_logged_after_each_flush_and_at_the_end(captured: CapturedLog) -> None:
    ledger, clock = Ledger(), FakeClock()
    accounting = Accounting(ledger, clock, captured.diagnostics(clock), threading.Lock())

    ledger.received(LOGS, 2)
    accounting.flushed()
    ledger.delivered(LOGS, 2)
    inbox = Inbox(1)
    for _ in range(3):
        inbox.note_refusal()
    inbox.foreign_posts = 2
    accounting.close(inbox)
    accounting.close(inbox)

    after_flush, at_end = captured.lines
    assert after_flush.startswith("DEBUG records received 0; logs received 2 delivered 0 dropped 0 held 2")
    assert at_end.startswith(
        "INFO records received 0 posts refused for now 3 foreign posts refused 2; logs received 2 delivered 2"
    )


@pytest.mark.parametrize("signal", [LOGS, POSTS])
def test_accounts_that_do_not_balance_are_reported_once_a_minute(captured: CapturedLog, signal: str) -> None:
    ledger, clock = Ledger(), FakeClock()
    accounting = Accounting(ledger, clock, captured.diagnostics(clock), threading.Lock())

    # More than there is in memory.
    ledger.delivered(signal, 2)
    accounting.flushed()
    accounting.close(Inbox(1))

    assert [line for line in captured.lines if line.startswith("WARN")] == [
        f"WARN the accounts do not balance ({signal}: 0 unaccounted for, -2 held, 0 spooled): please report this defect"
    ]


def test_changes_are_measured_once_a_minute_and_at_the_end(captured: CapturedLog) -> None:
    ledger, clock = Ledger(), FakeClock()
    accounting = Accounting(ledger, clock, captured.diagnostics(clock), threading.Lock())
    ledger.received(LOGS, 2)

    before = accounting.measurements(is_last=False)
    clock.advance(60.0)
    after_a_minute = accounting.measurements(is_last=False)
    ledger.delivered(LOGS, 2)
    at_end = accounting.measurements(is_last=True)

    assert before == []
    assert [(each.name, each.value) for each in after_a_minute] == [("otel.sdk.exporter.log.inflight", 2)]
    assert {(each.name, each.value) for each in at_end} == {
        ("otel.sdk.exporter.log.exported", 2),
        ("otel.sdk.exporter.log.inflight", -2),
    }
