"""Gathers what a profile's runs left in the store, to be uploaded: executed notebooks, verdicts, records, failures.

OUT/notebooks/<chapter>-<profile>-seed<n>.ipynb   of the runs of the present code
OUT/claims.json, list.json, why.json              what the commands of these names print
OUT/failed/<key>/                                 partial notebook and failure of what failed
OUT/results/<chapter>.json                        with --freeze: the records to commit, of chapters that are all fresh
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from kexue.press.project import find_root, store_folder


def kexue(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `kexue` command; exit code 1 only says that some chapter is not well."""
    command = [sys.executable, "-m", "kexue.cli", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode > 1:
        raise SystemExit(done.returncode)
    return done


def reports(profile: str, out: Path) -> dict[str, Any]:
    """Write what `claims`, `list` and `why` say of the profile."""
    found = {}
    for name in ("claims", "list", "why"):
        text = kexue(name, "--profile", profile, "--json").stdout
        (out / f"{name}.json").write_text(text, encoding="utf-8")
        found[name] = json.loads(text)
    return found


def notebooks(claims: list[dict[str, Any]], store: Path, out: Path) -> list[Path]:
    """Copy the executed notebooks that the claims of the present code were measured in."""
    copied = []
    for key in sorted({key for row in claims if not row["stale"] for key in row["run"]}):
        for manifest in (store / "runs" / key).glob("*/manifest.json"):
            run = json.loads(manifest.read_text(encoding="utf-8"))
            target = out / f"{run['chapter']}-{run['profile']}-seed{run['seed']}.ipynb"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(manifest.with_name("notebook.ipynb"), target)
            copied.append(target)
    return copied


def freeze(chapters: list[dict[str, Any]], profile: str, root: Path, out: Path) -> None:
    """Put chapters that are all fresh on record, and copy the records."""
    for chapter in chapters:
        if chapter["state"] == "fresh":
            kexue("freeze", chapter["chapter"], "--profile", profile)
            out.mkdir(exist_ok=True)
            shutil.copy2(root / "results" / f"{chapter['chapter']}.json", out)


def main() -> None:
    """Gather into a fresh folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", choices=("smoke", "quick", "full"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--freeze", action="store_true")
    arguments = parser.parse_args()
    root, out = find_root(), arguments.out
    store = store_folder(root)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    found = reports(arguments.profile, out)
    copied = notebooks(found["claims"], store, out / "notebooks")
    if (store / "failed").is_dir():
        shutil.copytree(store / "failed", out / "failed")
    if arguments.freeze:
        freeze(found["list"], arguments.profile, root, out / "results")
    print(f"{len(copied)} executed notebooks in {out / 'notebooks'}")


if __name__ == "__main__":
    main()
