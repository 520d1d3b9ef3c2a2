"""Where the links of a site lead that has public addresses: into the site, the branch of notebooks, the repository."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from kexue.press.project import Addresses


@dataclass(frozen=True)
class Published:
    """What a book publishes.

    Args:
        site: the folder of its site.
        notebooks: what the branch of notebooks holds.
        sources: the folder of its repository.
        home: its addresses.
        hub: the address of its JupyterHub, if it has one.
    """

    site: Path
    notebooks: Path
    sources: Path
    home: Addresses
    hub: str = ""

    def has(self, address: str) -> bool | None:
        """Whether what a full address leads to is there; None for an address of somebody else."""
        parts = urlsplit(address)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        repository = self.home.repository.removeprefix("https://github.com/")
        folder = repository.rpartition("/")[2]
        if self.home.site and address.startswith(self.home.site):
            return (self.site / urlsplit(address.removeprefix(self.home.site)).path).is_file()
        if parts.netloc == "colab.research.google.com":
            place = f"/github/{repository}/blob/notebooks/"
            return parts.path.startswith(place) and self._notebook(parts.path.removeprefix(place))
        if parts.netloc == "mybinder.org":
            place = parts.path == f"/v2/gh/{repository}/notebooks"
            return place and self._notebook(asked["urlpath"].removeprefix("lab/tree/"))
        if self.hub and address.startswith(f"{self.hub}/hub/user-redirect/git-pull?"):
            place = (asked["repo"], asked["branch"]) == (self.home.repository, "notebooks")
            return place and self._notebook(asked["urlpath"].removeprefix(f"lab/tree/{folder}/"))
        source = re.fullmatch(rf"{self.home.repository}/blob/([0-9a-f]{{40}}|main)/(.+)#L(\d+)", address)
        if source:
            path = self.sources / source[2]
            return path.is_file() and len(path.read_text(encoding="utf-8").splitlines()) >= int(source[3])
        commit = re.fullmatch(rf"{self.home.repository}/commit/[0-9a-f]{{40}}", address)
        if commit:
            return True
        return False if address.startswith(tuple(filter(None, (self.home.repository, self.hub)))) else None

    def _notebook(self, path: str) -> bool:
        return path.endswith(".ipynb") and (self.notebooks / unquote(path)).is_file()
