"""pyproject.toml, ci/constraints.txt, environment.yml and what is installed tell one story."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, Version]:
    lines = (ROOT / "ci" / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [
        Requirement(text)
        for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]
    ]


def test_every_direct_dependency_is_pinned_within_its_range():
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pins(), f"{name} has no pin in ci/constraints.txt"
        assert pins()[name] in requirement.specifier, f"{name}: {pins()[name]} is not {requirement.specifier}"


def test_what_is_installed_is_what_is_pinned():
    for name, version in pins().items():
        assert Version(metadata.version(name)).public == version.public, name


def test_conda_users_get_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert f"python {PROJECT['requires-python']}" in conda
    assert "--constraint ci/constraints.txt" in pip
    (editable,) = [line for line in pip if line.startswith("--editable")]
    extras = re.fullmatch(r"--editable \.\[(.+)\]", editable)
    assert extras is not None
    assert set(extras[1].split(",")) == set(PROJECT["optional-dependencies"])


def test_the_version_has_one_source():
    assert metadata.version("kexue") == PROJECT["version"]
