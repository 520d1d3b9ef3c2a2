"""Pins in ci/constraints.txt whatever the package with its extras brings along, at the versions of this environment.

    python ci/lock.py            write the pins, after packages were brought up to date on purpose
    python ci/lock.py --check    exit code 1 if something is unpinned, or installed in another version

Above the line that this script writes, the file is written by hand: what is asked for by name, by purpose; only its versions
are brought up to date. Below it stands all that those need. pip takes no hashes in a constraint file (only in a requirement file, with
--require-hashes, where an editable install has no place), so versions are pinned and the bytes are not.
"""

import argparse
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).with_name("constraints.txt")
LINE = "# What those need, written by ci/lock.py"
EXTRAS = ("dev", "lab")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)


def installed(name: str, extras: tuple[str, ...]) -> dict[str, str]:
    """The versions of what a distribution needs here, itself left out, by canonical name."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        owner, extra = waiting.pop()
        if (owner, extra) in seen:
            continue
        seen.add((owner, extra))
        try:
            here = distribution(owner)
        except PackageNotFoundError:
            if owner == name:
                sys.exit(f"lock: {name} is not installed here: make setup")
            continue  # left out on purpose, or not made for this platform
        found[canonicalize_name(owner)] = here.version.partition("+")[0]
        for text in here.requires or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(wanted.name), more) for more in ("", *wanted.extras)]
    found.pop(canonicalize_name(name))
    return found


def pinned(text: str) -> dict[str, str]:
    """The versions in a constraint file, by canonical name."""
    return {canonicalize_name(name): version for name, version in _PIN.findall(text)}


def differences(text: str, versions: dict[str, str]) -> list[str]:
    """What the file lacks or has otherwise, as sentences."""
    pins = pinned(text)
    return [
        f"{name} {version} is not pinned"
        if name not in pins
        else f"{name} is pinned at {pins[name]}, here is {version}"
        for name, version in sorted(versions.items())
        if pins.get(name) != version
    ]


def locked(text: str, versions: dict[str, str]) -> str:
    """The file with every version as it is here."""
    by_hand = text.partition(f"\n{LINE}")[0].rstrip()
    by_hand = _PIN.sub(lambda pin: f"{pin[1]}=={versions.get(canonicalize_name(pin[1]), pin[2])}", by_hand)
    rest = sorted(versions.keys() - pinned(by_hand).keys())
    return "\n".join([by_hand, "", LINE, *(f"{name}=={versions[name]}" for name in rest)]) + "\n"


def main() -> int:
    """Write the pins, or check them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    text, versions = FILE.read_text(encoding="utf-8"), installed("kexue", EXTRAS)
    if parser.parse_args().check:
        found = differences(text, versions)
        print("\n".join(found) or f"{len(versions)} packages, all pinned")
        return 1 if found else 0
    FILE.write_text(locked(text, versions), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
