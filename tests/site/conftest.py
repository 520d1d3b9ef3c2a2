"""The tiny book's site, built once, and a browser that cannot reach anything but it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kexue.press.project import BASE_URL, REPOSITORY
from kexue.press.site.build import publish

from .tinybook import tiny_edition, write_book


@dataclass(frozen=True)
class ServedSite:
    """A site's folder and the address it is served under."""

    folder: Path
    address: str

    def pages(self) -> list[str]:
        """Every page, by its path in the site; not the redirect at its root."""
        found = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.html"))
        return [name for name in found if name != "index.html" and not name.startswith("_static/")]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing: the tests look at what the browser saw."""


def serve(folder: Path) -> Iterator[ServedSite]:
    """Serve a folder while the caller has what this yields."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield ServedSite(folder, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def tiny_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny book's site."""
    root = tmp_path_factory.mktemp("tiny")
    write_book(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            REPOSITORY, "https://github.com/someone/kexue"
        )  # with all the buttons that a public book has
        patch.setenv(BASE_URL, "https://someone.example/kexue/")
        publish(tiny_edition(root))
    return root / "_build" / "html"


def _sites() -> list[str]:
    return ["tiny", *(["real"] if os.environ.get("KEXUE_SITE") else [])]


@pytest.fixture(scope="session", params=_sites())
def site(request: pytest.FixtureRequest, tiny_site: Path) -> Iterator[ServedSite]:
    """The tiny book's site, and the one that `KEXUE_SITE` names."""
    yield from serve(tiny_site if request.param == "tiny" else Path(os.environ["KEXUE_SITE"]).resolve())


@pytest.fixture(scope="session")
def served_tiny_site(tiny_site: Path) -> Iterator[ServedSite]:
    """The tiny book's site alone."""
    yield from serve(tiny_site)
