"""The trees that are measured, each with the bare start of the interpreter that it runs on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.opt_tree import ROOT, assemble

BUILD = ROOT / "build" / "bench"
_PYTHON = os.path.realpath(sys.executable)
# What Lambda gives to an extension, as far as it makes a difference.
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
    """Something that can be the extension, and the same interpreter doing nothing."""

    name: str
    command: list[str]
    bare: list[str]

    def environment(self, api: str, endpoint: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Both ours and the naive extension's settings."""
        return {
            **ENVIRONMENT,
            "AWS_LAMBDA_RUNTIME_API": api,
            "TELEMETRY_FORWARDER_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            **(more or {}),
        }


def checkout(opt: Path | None = None) -> Tree:
    """The extension of this checkout, on this Python; in a folder of its own, unless it is assembled already."""
    opt = opt or assemble(BUILD / "opt")
    return Tree("checkout", [_extension(opt)], [_PYTHON, "-I", "-S", "-c", "pass"])


def shipped(opt: Path) -> Tree:
    """A layer as it is unpacked to /opt, with the interpreter inside it."""
    root = opt.resolve() / "telemetry-forwarder"
    if (root / "interpreter").exists():
        return Tree("layer", [_extension(opt)], [str(_bare_frozen(root / "interpreter")), "x"])
    return Tree("layer", [_extension(opt)], [str(root / "python/bin/python3"), "-I", "-S", "-c", "pass"])


def naive() -> Tree:
    """An extension as the tutorials write it: everything is imported at the top."""
    script = Path(__file__).with_name("naive.py")
    # The interpreter of the virtual environment: there the official exporters are.
    return Tree("naive", [sys.executable, "-B", str(script)], [_PYTHON, "-I", "-S", "-c", "pass"])


def least() -> Tree:
    """An extension that does nothing but what Lambda's init waits for: nobody's in Python can be ready sooner."""
    script = Path(__file__).with_name("least.py")
    bare = [_PYTHON, "-I", "-S"]
    return Tree("least", [*bare, "-B", str(script)], [*bare, "-c", "pass"])


def _extension(opt: Path) -> str:
    return str(opt.resolve() / "extensions" / "telemetry-forwarder")


def _bare_frozen(interpreter: Path) -> Path:
    """That executable with nothing to do: it runs what it finds in a folder beside itself."""
    folder = BUILD / "bare"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / f"__init__{interpreter.name}.py").write_text("def run(_name):\n    pass\n")
    bare = Path(shutil.copy2(interpreter, folder / interpreter.name))
    # The first start compiles it: no other interpreter can.
    subprocess.run([bare, "x"], check=True)
    return bare
