"""A scenario: the fault it injects, and the losses that cannot be avoided."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.run import Run
from tests.chaos.verdict import Verdict, broken, judge


@dataclass(frozen=True)
class Scenario:
    name: str
    description: str
    play: Callable[[Run], None]
    excused_reasons: frozenset[str] = frozenset()
    """Reasons, as the ledger names them, for which records may be dropped here."""
    kills: int = 0
    """How often the scenario itself ends the extension."""
    is_cut_at_the_end: bool = False
    """Whether the endpoint takes longer for the last request than Lambda leaves time."""
    grpc: bool = False
    """Whether the endpoint receives OTLP/gRPC instead of OTLP/HTTP."""

    def over_grpc(self) -> "Scenario":
        """Return the same scenario with an endpoint that receives OTLP/gRPC."""
        return replace(self, name=f"grpc: {self.name}", grpc=True)

    def run(self, seed: int, opt: Path, *, user: int | None = None) -> Verdict:
        """Play it and return the verdict; what the scenario itself finds wrong is a failure in it."""
        with Run(self.name, seed, opt, user=user, grpc=self.grpc) as run:
            try:
                self.play(run)
            except AssertionError as exc:
                return broken(exc)
            return judge(
                run, excused_reasons=self.excused_reasons, kills=self.kills, is_cut_at_the_end=self.is_cut_at_the_end
            )
