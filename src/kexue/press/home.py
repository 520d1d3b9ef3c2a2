"""Where the book lives in public: its repository, and the address of its site."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY, BASE_URL = "KEXUE_REPOSITORY", "KEXUE_BASE_URL"


@dataclass(frozen=True)
class Home:
    """The book's public addresses; "" for what it does not have.

    Args:
        repository: where its repository is, such as "https://github.com/someone/kexue".
        site: the address of the site's root, ending in a slash.
        commit: the commit at hand, for links into the repository.
    """

    repository: str
    site: str
    commit: str


def home(root: Path) -> Home:
    """The addresses in the environment, else those in `_config.yml`: a workflow knows where it runs, in a fork, too."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")) or {}
    repository = os.environ.get(REPOSITORY) or (config.get("repository") or {}).get("url") or ""
    site = os.environ.get(BASE_URL) or (config.get("html") or {}).get("baseurl") or ""
    return Home(
        repository=str(repository).rstrip("/"),
        site=f"{str(site).rstrip('/')}/" if site else "",
        commit=head(root) if repository else "",
    )


def head(root: Path) -> str:
    """The repository's present commit, or "" outside of one."""
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
