"""Writes every chapter as JupyterLab would save it (and formats its code cells), so that a save changes nothing else.

With --check nothing is written; exit code 1 if a chapter would change.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import jupytext
from jupytext.config import load_jupytext_configuration_file

ROOT = Path(__file__).parents[1]
KERNEL = {
    "name": "python3",
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
}  # as a Lab writes it


def formatted(path: Path) -> str:
    """The chapter with its code cells formatted by ruff, in jupytext's own layout."""
    config = load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="md:myst", config=config)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            ruff = [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", "cell.py", "-"]
            done = subprocess.run(
                ruff, input=cell.source, capture_output=True, text=True, check=True, cwd=ROOT
            )
            cell.source = done.stdout.rstrip("\n")
    return str(jupytext.writes(notebook, fmt="md:myst", config=config))


def main() -> int:
    """Format all chapters, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    changed = []
    for path in sorted((ROOT / "book").glob("*/*.md")):
        text = formatted(path)
        if text != path.read_text(encoding="utf-8"):
            changed.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text, encoding="utf-8")
    for path in changed:
        print(f"{'would change' if check else 'changed'}: {path}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
