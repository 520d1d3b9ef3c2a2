"""Checks that every record in results/ and every fault test in tests/book/ is of a chapter, and that every record can be read.

Exit code 1, with a line for each, if not: what a renamed or deleted chapter leaves behind, and what was changed by hand.
"""

import sys
from pathlib import Path

from kexue.press.project import PressError, find_root
from kexue.press.results.benchmarks import benchmark_problems
from kexue.press.results.record import FOLDER, orphans, read_record
from kexue.press.sources.catalogue import catalogue


def problems(root: Path) -> list[str]:
    """What is not as it should be, as sentences."""
    slugs = [chapter.slug for chapter in catalogue(root)]
    found = []
    for slug in slugs:
        try:
            read_record(root, FOLDER / f"{slug}.json")
        except PressError as error:
            found.append(str(error))
    known = {f"test_{slug.replace('-', '_')}_faults" for slug in slugs}
    tests = sorted((root / "tests" / "book").glob("test_*_faults.py"))
    lost = [path for path in (*orphans(root, slugs), *tests) if path.stem not in {*slugs, *known}]
    found += [f"{path.relative_to(root)} is of no chapter: rename or remove it" for path in lost]
    return found + benchmark_problems(root)


if __name__ == "__main__":
    found = problems(find_root())
    for problem in found:
        print(problem)
    sys.exit(1 if found else 0)
