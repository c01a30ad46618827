"""The result of a run: the columns of the table."""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.ledger_line import SignalLedger, is_ledger_line, parse
from tests.chaos.run import Run
from tests.support.otlp_messages import LOGS, count


@dataclass(frozen=True)
class Verdict:
    """The result of one run, or with `all_of` of many."""

    failed: int
    """Invocations that failed because of the extension, and exits that were not clean."""
    lost: int
    """Records that Lambda delivered and that are nowhere, without an excused reason."""
    duplicates: int
    needless: int
    """Duplicates that could be avoided. Records accepted without a response have to be sent again."""
    is_exact: bool
    slowest_next_s: float
    remarks: tuple[str, ...] = ()
    """Details of what went wrong."""

    @classmethod
    def all_of(cls, verdicts: Iterable["Verdict"]) -> "Verdict":
        runs = list(verdicts)
        return cls(
            failed=sum(run.failed for run in runs),
            lost=sum(run.lost for run in runs),
            duplicates=sum(run.duplicates for run in runs),
            needless=sum(run.needless for run in runs),
            is_exact=all(run.is_exact for run in runs),
            slowest_next_s=max(run.slowest_next_s for run in runs),
            remarks=tuple(remark for run in runs for remark in run.remarks),
        )

    @property
    def is_good(self) -> bool:
        return self.is_exact and not (self.failed or self.lost or self.needless)


def broken(exc: AssertionError) -> Verdict:
    """Return the verdict of a run in which an assertion of the scenario did not hold."""
    where = traceback.extract_tb(exc.__traceback__)[-1]
    remark = f"line {where.lineno} of {where.filename}: {where.line} {exc}"
    return Verdict(failed=1, lost=0, duplicates=0, needless=0, is_exact=True, slowest_next_s=0.0, remarks=(remark,))


def judge(run: Run, *, excused_reasons: frozenset[str], kills: int, is_cut_at_the_end: bool) -> Verdict:
    """Compare what Lambda delivered with what arrived, was spooled and is in the ledgers of *run*."""
    output = [line for environment in run.environments for line in environment.extension_output]
    ledgers = [parse(line) for line in output if is_ledger_line(line)]
    of_logs = [ledger["logs"] for ledger in ledgers]
    exits = run.exits + [
        exit_ for environment in run.environments for _, exits in environment.resets for exit_ in exits
    ]
    present = run.arrived() + run.on_disk()
    missing = run.delivered_by_lambda() - present - run.excused
    excused = sum(_excused(ledger, excused_reasons) for ledger in of_logs)
    duplicates = present - run.emitted()
    unacknowledged = _unacknowledged(run, is_cut_at_the_end=is_cut_at_the_end)
    failed = [invocation for invocation in run.invocations if invocation.is_failed]
    bad_exits = [exit_ for exit_ in exits if exit_.killed or exit_.code]
    is_exact = bool(
        len(ledgers) == len(exits) - kills
        and all(signal.is_exact for ledger in ledgers for signal in ledger.values())
        and (kills or _is_confirmed(run, of_logs, unacknowledged))
    )
    lost = max(0, missing.total() - excused)
    remarks = [f"failed {invocation.result}" for invocation in failed]
    remarks += [f"ended {exit_}" for exit_ in bad_exits[kills:]]
    remarks += [f"lost {sorted(missing)[:3]} of {missing.total()}, excused {excused}"] if lost else []
    if duplicates.total() > unacknowledged:
        remarks += [f"twice {sorted(duplicates)[:3]} of {duplicates.total()}, excused {unacknowledged}"]
    if failed or not is_exact:
        remarks += output
    return Verdict(
        failed=len(failed) + len(bad_exits[kills:]),
        lost=lost,
        duplicates=duplicates.total(),
        needless=max(0, duplicates.total() - unacknowledged),
        is_exact=is_exact,
        slowest_next_s=max((invocation.held_s for invocation in run.invocations), default=0.0),
        remarks=tuple(remarks),
    )


def _excused(ledger: SignalLedger, reasons: frozenset[str]) -> int:
    rejected = ledger["rejected"] if "rejected" in reasons else 0
    return rejected + sum(count for reason, count in ledger.dropped.items() if reason in reasons)


def _unacknowledged(run: Run, *, is_cut_at_the_end: bool) -> int:
    """Return the number of items that were accepted without the extension receiving the response."""
    accepted = [request for request in run.collector.requests if request.is_accepted and request.path == LOGS]
    unanswered = [request for request in accepted if request.status is None]
    if is_cut_at_the_end and accepted and accepted[-1] not in unanswered:
        unanswered.append(accepted[-1])
    return sum(count(request.message) for request in unanswered)


def _is_confirmed(run: Run, ledgers: list[SignalLedger], unacknowledged: int) -> bool:
    """Whether the receiver accepted what the ledgers count as delivered, and more only if a response was lost."""
    more = run.collector.accepted(LOGS) - sum(ledger["delivered"] for ledger in ledgers)
    return 0 <= more <= unacknowledged
