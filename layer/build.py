#!/usr/bin/env python3
"""Builds the Lambda layer: layer/dist/telemetry-forwarder-<arch>.zip, for every runtime of that architecture.

Needs Python 3.11 or newer with pip, and nothing else. Everything that it downloads is pinned in layer/lock.toml.
"""

import argparse
import platform
import shutil
import sys
import tempfile
from pathlib import Path

# This file runs as a script: its folder is on the path instead of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from layer.recipe import archive, documents, fetch, pins, tree
from layer.recipe.archive import Budget
from layer.recipe.bundling import BundleError
from layer.recipe.compiling import CompileError
from layer.recipe.relocatable import RelocatableError, RelocatablePython

_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_BUDGETS = {
    "default": Budget(zipped_bytes=10_000_000, unzipped_bytes=30_000_000),
    # A stripped python-build-standalone has a libpython of 25 MB.
    "other-python": Budget(zipped_bytes=16_000_000, unzipped_bytes=40_000_000),
}
_FAILURES = (
    tree.TreeError,
    fetch.FetchError,
    documents.DocumentsError,
    archive.BudgetError,
    BundleError,
    CompileError,
    RelocatableError,
)


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    try:
        for arch in pins.ARCHES if options.arch == "all" else (options.arch,):
            _build(arch, options)
    except _FAILURES as failure:
        raise SystemExit(f"layer not built: {failure}") from failure


def _options(arguments: list[str]) -> argparse.Namespace:
    native = _MACHINES.get(platform.machine().lower())
    if native is None or sys.platform != "linux":
        raise SystemExit("the layer is built on Linux, x86_64 or arm64, because its own interpreter compiles it")
    parser = argparse.ArgumentParser(prog="layer/build.py", description=__doc__)
    parser.add_argument("arch", nargs="?", choices=[*pins.ARCHES, "all"], default=native)
    parser.add_argument(
        "--with-grpc", action="store_true", help="write the same layer as telemetry-forwarder-grpc-<arch>.zip"
    )
    parser.add_argument("--python", type=Path, metavar="DIR", help="ship this relocatable CPython instead")
    parser.add_argument("--out", type=Path, default=tree.LAYER / "dist", metavar="DIR")
    parser.add_argument("--cache", type=Path, default=tree.PROJECT / "build" / "layer-cache", metavar="DIR")
    parser.add_argument("--unpacked", action="store_true", help="also keep the unpacked tree next to the zip")
    parser.set_defaults(native=native)
    return parser.parse_args(arguments)


def _build(arch: str, options: argparse.Namespace) -> None:
    build_options = tree.BuildOptions(
        arch=arch, native=options.native, python=RelocatablePython(options.python.resolve()) if options.python else None
    )
    name = f"{tree.NAME}-{'grpc-' if options.with_grpc else ''}{arch}"
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "opt"
        builder = tree.TreeBuilder(
            build_options, pins=pins.read(tree.LAYER / "lock.toml"), cache=options.cache, target=target
        )
        facts = builder.build()
        zipped = options.out / f"{name}.zip"
        size = archive.write(target, zipped)
        if options.unpacked:
            shutil.rmtree(options.out / name, ignore_errors=True)
            shutil.copytree(target, options.out / name)
    print(f"{zipped}: {size}")
    print(f"  {', '.join(f'{key} {value}' for key, value in facts.items())}; {_stdlib_skew(facts)}")
    print(f"  sha256 {fetch.sha256_of(zipped)}")
    try:
        archive.check_size(size, _BUDGETS[facts["flavour"]])
    except archive.BudgetError:
        zipped.unlink()
        raise


def _stdlib_skew(facts: dict[str, str]) -> str:
    """Describe how the patch releases of standard library and interpreter differ."""
    difference = int(facts["stdlib"].split(".")[2]) - int(facts["python"].split(".")[2])
    return "same patch release" if difference == 0 else f"patch releases differ by {difference:+d}"


if __name__ == "__main__":
    main(sys.argv[1:])
