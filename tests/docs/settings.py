"""Writes the table in docs/settings.md from the settings that the code reads: `python -m tests.docs.settings`.

Names, defaults and valid values come from the code. The last column, their meaning, is written by hand in the page and
kept.
"""

from telemetry_forwarder.endpoints.options import OPTIONS
from telemetry_forwarder.settings import PREFIX, SETTINGS, Setting
from tests.docs.pages import DOCS, block_rows, write_block

PAGE = DOCS / "settings.md"


def table(meanings: dict[str, str]) -> str:
    """Return the table as Markdown, with *meanings* by variable in the last column."""
    rows = ["| variable | default | valid values | meaning |", "| --- | --- | --- | --- |"]
    for setting in (*OPTIONS, *SETTINGS):
        variable = f"`{PREFIX}{setting.name}`"
        default = f"`{setting.default}`" if setting.default else ""
        rows.append(f"| {variable} | {default} | {_valid_values(setting)} | {meanings.get(variable, '')} |")
    return "\n".join(rows)


def meanings() -> dict[str, str]:
    """Return the last column of the page's table, by variable."""
    return {row[0]: row[-1] for row in block_rows(PAGE, "settings")}


def _valid_values(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f"`{choice}`" for choice in setting.choices)
    least, largest = setting.limits
    return f"{least:,} to {largest:,}" if largest else ""


if __name__ == "__main__":
    write_block(PAGE, "settings", table(meanings()))
