"""`python -m tests.fuzz.one TARGET SECONDS FOLDER`: fuzz one target in this process, guided by coverage if possible."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

MAX_INPUT_BYTES = 4_096
_MAX_INPUT_S = 10
# In CI every run tries the same inputs in the same order: without what depends on the time that inputs take.
# https://llvm.org/docs/LibFuzzer.html#options
_REPEATABLE = {"seed": 1, "entropic": 0, "reload": 0}


def main(name: str, seconds: int, folder: Path) -> None:
    """Fuzz a target; new inputs that reach more of the code, and those that fail, are stored in *folder*."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        _without_atheris(name, seconds)
        return
    with atheris.instrument_imports(include=["telemetry_forwarder"]):
        from tests.fuzz.targets import TARGETS
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": seconds,
        "max_len": MAX_INPUT_BYTES,
        "timeout": _MAX_INPUT_S,
        "rss_limit_mb": 1_024,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
        **(_REPEATABLE if _is_in_ci() else {}),
    }
    corpus = Path(__file__).parent / "corpus" / name
    arguments = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, str(folder / "inputs"), str(corpus)], TARGETS[name])
    atheris.Fuzz()


def _is_in_ci() -> bool:
    return bool(os.environ.get("CI"))


def _without_atheris(name: str, seconds: int) -> None:
    from tests.fuzz.mutate import mutate
    from tests.fuzz.targets import TARGETS

    corpus = [path.read_bytes() for path in sorted((Path(__file__).parent / "corpus" / name).iterdir())]
    print(f"Done {mutate(TARGETS[name], corpus, seconds, seed=0 if _is_in_ci() else None)} runs without coverage")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
