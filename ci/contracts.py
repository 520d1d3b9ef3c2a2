"""Which package may import which: the rules of the house as import-linter contracts, for the packages there are.

    python ci/contracts.py

A package of `src/kexue` that is none of those named here is a subject, a module beside the packages is shared by them: both are
held to the rules from their first day.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from importlinter.cli import lint_imports

LIBRARY = Path(__file__).resolve().parents[1] / "src" / "kexue"
PRESS, CLI, CLAIMS = "kexue.press", "kexue.cli", "kexue.claims"
FOR_CHAPTERS = ("kexue.data", "kexue.figures")  # what a chapter uses and a subject does not
ROOMS = ("site", "cluster | results", "execution", "store", "sources", "project")


def subjects(library: Path) -> list[str]:
    """The packages of the science: every package of the library that has no other part to play.

    Args:
        library: the folder `src/kexue`.
    """
    there = {f"kexue.{path.parent.name}" for path in library.glob("*/__init__.py")}
    return sorted(there - {PRESS, CLI, CLAIMS, *FOR_CHAPTERS})


def shared(library: Path) -> list[str]:
    """The modules beside the packages: what several subjects share.

    Args:
        library: the folder `src/kexue`.
    """
    there = {f"kexue.{path.stem}" for path in library.glob("*.py") if path.stem != "__init__"}
    return sorted(there - {*FOR_CHAPTERS})


def contracts(science: list[str], common: list[str]) -> list[dict[str, Any]]:
    """The contracts for these subjects and shared modules, as import-linter's configuration has them."""

    def forbidden(name: str, sources: list[str], targets: list[str]) -> dict[str, Any]:
        return {"name": name, "type": "forbidden", "source_modules": sources, "forbidden_modules": targets}

    sphinx = f"{PRESS}.sphinx_ext"
    others = [f"{PRESS}.{room}" for layer in ROOMS for room in layer.split(" | ")]
    return [
        forbidden(
            "a subject knows neither the claims nor the press",
            [*science, *common],
            [CLAIMS, PRESS, CLI, *FOR_CHAPTERS],
        ),
        forbidden("the press knows no science", [PRESS, CLI], [*science, "kexue.figures"]),
        forbidden("claims know nothing but claims", [CLAIMS], [PRESS, CLI, *FOR_CHAPTERS, *common, *science]),
        {"name": "no subject leans on another", "type": "independence", "modules": science},
        {"name": "no circular import", "type": "acyclic_siblings", "ancestors": ["kexue", "kexue.**"]},
        {
            "name": "in the press data goes one way",
            "type": "layers",
            "containers": [PRESS],
            "layers": list(ROOMS),
        },
        {"name": "the command line stands above the press", "type": "layers", "layers": [CLI, PRESS]},
        forbidden(
            "what Sphinx loads knows the claims and the staged data only",
            [sphinx],
            [*others, CLI, "kexue.data"],
        ),
    ]


def as_toml(found: list[dict[str, Any]]) -> str:
    """The configuration as text; JSON's strings and lists are TOML's."""
    lines = ["[tool.importlinter]", 'root_packages = ["kexue"]']
    for contract in found:
        lines += ["", "[[tool.importlinter.contracts]]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in contract.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Check the imports; exit code 1 where one breaks a rule."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "pyproject.toml"
        config.write_text(as_toml(contracts(subjects(LIBRARY), shared(LIBRARY))), encoding="utf-8")
        return int(lint_imports(config_filename=str(config), cache_dir=None))


if __name__ == "__main__":
    sys.exit(main())
