"""Reads the Markdown pages of the project: headings, links, code, and the blocks that are generated."""

import re
from pathlib import Path

from tests.support.paths import PROJECT

README = PROJECT / "README.md"
DOCS = PROJECT / "docs"
PAGES = (
    README,
    *(PROJECT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted(DOCS.rglob("*.md")),
    PROJECT / "tests" / "emulator" / "README.md",
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK = r"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)"


def anchors(page: Path) -> set[str]:
    """Return the anchors of all headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _without_code_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Return the targets of all links and images."""
    return re.findall(r"\]\(([^)\s]+)\)", _without_code_blocks(page))


def code_spans(page: Path) -> list[str]:
    """Return everything between single backticks."""
    return re.findall(r"`([^`\n]+)`", _without_code_blocks(page))


def shell_lines(page: Path) -> list[str]:
    """Return the commands of all shell blocks, without comments."""
    blocks = [text for language, text in _FENCE.findall(page.read_text()) if language == "sh"]
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of all table rows of the section *heading*, header rows left out."""
    _, _, section = f"\n{page.read_text()}".partition(f"\n{heading}\n")
    return _rows(re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0])


def block_rows(page: Path, name: str) -> list[list[str]]:
    """Return the cells of all table rows of the generated block *name*, header rows left out."""
    return _rows(block(page, name))


def _rows(text: str) -> list[list[str]]:
    lines = text.splitlines()
    tables = [index for index, line in enumerate(lines) if line.startswith("| ---")]
    headers = {index + offset for index in tables for offset in (-1, 0)}
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for index, line in enumerate(lines)
        if line.startswith("|") and index not in headers
    ]


def block(page: Path, name: str) -> str:
    """Return the generated block *name* of *page*, without its markers."""
    return re.sub(r"<!--[^\n]*-->\n?", "", _found(page.read_text(), name)[0]).removesuffix("\n")


def write_block(page: Path, name: str, text: str) -> None:
    """Replace the generated block *name* of *page*."""
    page_text = page.read_text()
    match = _found(page_text, name)
    page.write_text(f"{page_text[: match.start()]}{match[1]}{text}\n{match[2]}{page_text[match.end() :]}")


def _found(text: str, name: str) -> re.Match[str]:
    match = re.search(_BLOCK.format(name=name), text, re.DOTALL)
    assert match is not None, f"there is no block {name}"
    return match


def _without_code_blocks(page: Path) -> str:
    return _FENCE.sub("", page.read_text())
