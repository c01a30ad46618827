"""Reads the recipes in docs/backends."""

import re
from pathlib import Path

from tests.docs.pages import DOCS

FOLDER = DOCS / "backends"
INDEX = FOLDER / "README.md"
RECIPES = tuple(sorted(set(FOLDER.glob("*.md")) - {INDEX}))

_BLOCK = re.compile(r"^```env\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def variables(recipe: Path) -> dict[str, str]:
    """Return the environment variables that *recipe* sets."""
    [block] = _BLOCK.findall(recipe.read_text())
    return dict(line.split("=", 1) for line in block.splitlines())
