"""The extensions that are measured, each with the bare start of its interpreter."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.opt_tree import assemble
from tests.support.paths import PROJECT

BUILD = PROJECT / "build" / "bench"
_PYTHON = os.path.realpath(sys.executable)
# The variables that Lambda sets for an extension, if they make a difference.
ENVIRONMENT = {
    "PATH": f"{os.path.dirname(_PYTHON)}:/usr/local/bin:/usr/bin:/bin",
    "AWS_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "LANG": "en_US.UTF-8",
    "TELEMETRY_FORWARDER_SPOOL_DIR": str(BUILD / "spool"),
}


@dataclass(frozen=True, slots=True)
class Tree:
    """The command of an extension, and the one that starts the same interpreter to do nothing."""

    name: str
    """One word: names of cases are split at spaces."""
    command: list[str]
    bare: list[str]

    def environment(self, api: str, endpoint: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the variables of our extension and of the tutorial's."""
        return {
            **ENVIRONMENT,
            "AWS_LAMBDA_RUNTIME_API": api,
            "TELEMETRY_FORWARDER_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            **(more or {}),
        }


def checkout(opt: Path | None = None) -> Tree:
    """Return the extension of this checkout, assembled in a folder of its own unless *opt* is given."""
    opt = opt or assemble(BUILD / "opt")
    return Tree("checkout", [_extension(opt)], [_PYTHON, "-I", "-S", "-c", "pass"])


def other_checkout(project: Path) -> Tree:
    """Return the extension of another checkout, assembled by its own recipe for this Python."""
    # A folder for each checkout: they may install different dependencies.
    opt = BUILD / f"opt-{hashlib.sha256(str(project.resolve()).encode()).hexdigest()[:8]}"
    is_current = (project / "tests" / "support" / "opt_tree.py").exists()
    module = "tests.support.opt_tree" if is_current else "tests.opt_tree"
    subprocess.run([sys.executable, "-B", "-m", module, str(opt)], cwd=project, check=True, stdout=subprocess.DEVNULL)
    return Tree("against", [_extension(opt)], [_PYTHON, "-I", "-S", "-c", "pass"])


def shipped(opt: Path, name: str = "layer") -> Tree:
    """Return the extension of a layer that was unpacked to *opt*, with the interpreter inside it."""
    root = opt.resolve() / "telemetry-forwarder"
    bare = [str(root / "python/bin/python3"), "-I", "-S", "-c", "pass"]
    if (root / "interpreter").exists():
        bare = [str(_bare_frozen(root / "interpreter", BUILD / f"bare-{name}")), "x"]
    return Tree(name, [_extension(opt)], bare)


def tutorial() -> Tree:
    """Return an extension as tutorials write it: everything is imported at the top."""
    script = Path(__file__).with_name("tutorial_extension.py")
    # The interpreter of the virtual environment, which has the official exporters.
    return Tree("tutorial", [sys.executable, "-B", str(script)], [_PYTHON, "-I", "-S", "-c", "pass"])


def minimal() -> Tree:
    """Return an extension that only does what Lambda's init waits for: no extension in Python is ready sooner."""
    script = Path(__file__).with_name("minimal_extension.py")
    bare = [_PYTHON, "-I", "-S"]
    return Tree("minimal", [*bare, "-B", str(script)], [*bare, "-c", "pass"])


def _extension(opt: Path) -> str:
    return str(opt.resolve() / "extensions" / "telemetry-forwarder")


def _bare_frozen(interpreter: Path, folder: Path) -> Path:
    """Copy the executable to where it finds an empty program: it runs what is in a folder next to it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / f"__init__{interpreter.name}.py").write_text("def run(_name):\n    pass\n")
    bare = Path(shutil.copy2(interpreter, folder / interpreter.name))
    # The first start compiles the program, which no other interpreter can.
    subprocess.run([bare, "x"], check=True)
    return bare
