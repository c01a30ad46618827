"""A scenario: what happens, and which losses nobody could have helped."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.run import Run
from tests.chaos.verdict import Verdict, judge


@dataclass(frozen=True)
class Scenario:
    name: str
    says: str
    """In one line."""
    play: Callable[[Run], None]
    unavoidable: frozenset[str] = frozenset()
    """Reasons, as the books name them, for which records may be dropped here."""
    kills: int = 0
    """How often the scenario ends the extension itself."""
    is_cut_at_the_end: bool = False
    """The endpoint takes longer than Lambda leaves for the last request."""

    def run(self, seed: int, opt: Path) -> Verdict:
        with Run(self.name, seed, opt) as run:
            self.play(run)
            return judge(
                run,
                unavoidable=self.unavoidable,
                kills=self.kills,
                is_cut_at_the_end=self.is_cut_at_the_end,
            )
