"""Copies packages from the environment of this interpreter, so that nothing is downloaded twice."""

import importlib.metadata
import re
import shutil
from collections.abc import Iterable
from pathlib import Path


def versions(requirements: Iterable[str]) -> dict[str, str]:
    """Return name -> version of everything installed that *requirements* need, themselves included, sorted."""
    found: dict[str, str] = {}
    waiting = list(requirements)
    while waiting:
        name = re.split(r"[^\w.-]", waiting.pop(), maxsplit=1)[0]
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            # Needed on other Pythons or systems only: pip would not have left it out.
            continue
        found[name] = distribution.version
        waiting += [line for line in distribution.requires or () if "extra ==" not in line]
    return dict(sorted(found.items()))


def copy(names: Iterable[str], target: Path) -> None:
    """Copy the files of the packages *names* into the folder *target*, without scripts."""
    for name in names:
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts:
                destination = target / file
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(file.locate()), destination)
