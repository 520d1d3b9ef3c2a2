"""Packs the site in _build/html, without its own zip, and the executed notebooks of a profile into one zip, with its checksum beside it.

    OUT/kexue-<version>-<commit>.zip   site/ (open site/index.html; no network needed), notebooks/, claims.json, licences
    OUT/SHA256SUMS                     checked by `sha256sum --check SHA256SUMS`

The same files at the same commit give the same bytes: names sorted, times those of the commit.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

from kexue.press.project import find_root

LICENCES = ("LICENSE", "LICENSE-TEXT", "CITATION.cff")


def git(root: Path, *arguments: str) -> str:
    """What a git command prints."""
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def pack(files: dict[str, Path], target: Path, seconds: int) -> None:
    """Write files, by their name in the archive, with one time for all."""
    moment = time.gmtime(seconds)[:6]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{target.stem}/{name}", moment)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name].read_bytes())


def main() -> None:
    """Collect, pack, write the checksum."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", choices=("smoke", "quick", "full"))
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    root, out = find_root(), arguments.out
    site = root / "_build" / "html"
    if not (site / "index.html").is_file():
        raise SystemExit(f"no site in {site}: run kexue build first")
    collected = root / "_build" / "collected"
    collect = [sys.executable, str(Path(__file__).with_name("collect.py")), arguments.profile, str(collected)]
    subprocess.run(collect, check=True)
    own = set(site.glob("*.zip"))  # the site offers itself as a zip: not twice in this one
    parts = [path for path in site.rglob("*") if path.is_file() and path not in own]
    files = {f"site/{path.relative_to(site).as_posix()}": path for path in parts}
    files |= {f"notebooks/{path.name}": path for path in (collected / "notebooks").glob("*.ipynb")}
    files |= {name: root / name for name in LICENCES if (root / name).is_file()}
    files["claims.json"] = collected / "claims.json"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    target = out / f"kexue-{version('kexue')}-{git(root, 'rev-parse', '--short=12', 'HEAD')}.zip"
    pack(files, target, int(git(root, "log", "-1", "--format=%ct")))
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    (out / "SHA256SUMS").write_text(f"{digest}  {target.name}\n", encoding="ascii")
    print(f"{target}: {len(files)} files, {target.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
