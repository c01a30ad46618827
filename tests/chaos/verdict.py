"""What a run has cost: the columns of the table."""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.books import Books, is_books, read
from tests.chaos.run import Run
from tests.support.otlp_messages import LOGS, count


@dataclass(frozen=True)
class Verdict:
    """One run, or with `all_of` many of them."""

    failed: int
    """Invocations that failed because of us, and ends of ours that Lambda had to bring about."""
    lost: int
    """Records that Lambda gave us and that are nowhere, without a reason that could not be helped."""
    duplicates: int
    needless: int
    """Of these. What was taken without our hearing of it had to be sent again."""
    is_exact: bool
    slowest_next_s: float
    remarks: tuple[str, ...] = ()
    """What went wrong, for people."""

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


def judge(run: Run, *, unavoidable: frozenset[str], kills: int, is_cut_at_the_end: bool) -> Verdict:
    """*unavoidable*: the reasons for which the books may say that something was dropped; *kills*: how often
    the scenario itself ends the extension; *is_cut_at_the_end*: whether the last request takes longer than
    Lambda leaves for it, so that its answer is not heard."""
    lines = [line for life in run.lives for line in life.extension_output if is_books(line)]
    books = [read(line) for line in lines]
    exits = run.exits + [exit_ for life in run.lives for _, exits in life.resets for exit_ in exits]
    kept = run.arrived() + run.on_disk()
    missing = run.delivered_by_lambda() - kept - run.excused
    excused = sum(_excused(each["logs"], unavoidable) for each in books)
    duplicates = kept - run.emitted()
    unacknowledged = _unacknowledged(run, is_cut_at_the_end)
    failed = [said for said in run.said if said.is_failed]
    bad_exits = [exit_ for exit_ in exits if exit_.killed or exit_.code]
    is_exact = bool(
        len(books) == len(exits) - kills
        and all(each.is_exact for book in books for each in book.values())
        and (kills or _is_confirmed(run, [each["logs"] for each in books], unacknowledged))
    )
    lost = max(0, missing.total() - excused)
    remarks = [f"failed {said.answer}" for said in failed] + [f"ended {exit_}" for exit_ in bad_exits[kills:]]
    remarks += [f"lost {sorted(missing)[:3]} of {missing.total()}, excused {excused}"] if lost else []
    if duplicates.total() > unacknowledged:
        remarks += [f"twice {sorted(duplicates)[:3]} of {duplicates.total()}, excused {unacknowledged}"]
    if failed or not is_exact:
        remarks += [line for life in run.lives for line in life.extension_output]
    return Verdict(
        failed=len(failed) + len(bad_exits[kills:]),
        lost=lost,
        duplicates=duplicates.total(),
        needless=max(0, duplicates.total() - unacknowledged),
        is_exact=is_exact,
        slowest_next_s=max((said.held_s for said in run.said), default=0.0),
        remarks=tuple(remarks),
    )


def _excused(books: Books, unavoidable: frozenset[str]) -> int:
    rejected = books["rejected"] if "rejected" in unavoidable else 0
    return rejected + sum(count for reason, count in books.dropped.items() if reason in unavoidable)


def _unacknowledged(run: Run, is_cut_at_the_end: bool) -> int:
    """Items that were taken without our hearing of it."""
    taken = [request for request in run.collector.requests if request.is_accepted and request.path == LOGS]
    silent = [request for request in taken if request.status is None]
    if is_cut_at_the_end and taken and taken[-1] not in silent:
        silent.append(taken[-1])
    return sum(count(request.message) for request in silent)


def _is_confirmed(run: Run, books: list[Books], unacknowledged: int) -> bool:
    """The receiver has seen what the books say was delivered, and more only where an answer was lost."""
    more = run.collector.accepted(LOGS) - sum(each["delivered"] for each in books)
    return 0 <= more <= unacknowledged
