"""Reads `kexue why --json` from standard input; says for GitHub whether anything is stale, and in a table what and why."""

import json
import os
import sys
from pathlib import Path
from typing import Any


def table(rows: list[dict[str, Any]]) -> str:
    """What is stale, as Markdown."""
    stale = [row for row in rows if row["state"] != "fresh"]
    lines = [f"{len(stale)} of {len(rows)} runs are to be made."]
    if stale:
        lines += ["", "| chapter | profile | seed | state | why |", "|---|---|---|---|---|"]
    for row in stale:
        why = "; ".join(row["reasons"]).replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {row['chapter']} | {row['profile']} | {row['seed']} | {row['state']} | {why} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the step's output and summary; to standard output where there is no GitHub."""
    rows = json.load(sys.stdin)
    stale = any(row["state"] != "fresh" for row in rows)
    for variable, text in (
        ("GITHUB_OUTPUT", f"stale={str(stale).lower()}\n"),
        ("GITHUB_STEP_SUMMARY", table(rows)),
    ):
        if variable in os.environ:
            with Path(os.environ[variable]).open("a", encoding="utf-8") as file:
                file.write(text)
        else:
            sys.stdout.write(text)


if __name__ == "__main__":
    main()
