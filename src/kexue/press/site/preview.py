"""`kexue preview`: one chapter in the browser, rendered again at every save; changed code is run again, then rendered.

One Sphinx process keeps what it has read, so an edit of the prose shows in a second or two. The numbers are those of the
stored run until the new one has finished; meanwhile the page says that they are of older code.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kexue.press.project import PressError
from kexue.press.results.snapshot import Edition, edition
from kexue.press.site.build import telling
from kexue.press.site.data import site_data
from kexue.press.site.kept import take_over
from kexue.press.site.render import render
from kexue.press.store.store import Store

_LOOK = 0.2  # seconds between two looks at the files
_HOLD = 25.0  # seconds a browser's question after news is held
_LINK = re.compile(r"(?:unknown document|target not found|Unknown source document):? '([\w./-]+)'")
_RELOAD = b"""<script>
(async () => {
  const ask = async (seen) => (await fetch(`/kexue-preview?seen=${seen}`)).text();
  for (let seen = await ask(-1); ; ) {
    const now = await ask(seen).catch(() => new Promise((done) => setTimeout(done, 1000, seen)));
    if (now !== seen) { location.reload(); return; }
  }
})();
</script></body>"""
_WAITING = b"<!DOCTYPE html><html><head><title>rendering</title></head><body><p>rendering \xe2\x80\xa6</p></body></html>"
_OURS = {"127.0.0.1", "localhost"}


class Preview:
    """One chapter's page, kept up to date.

    Args:
        root: the book's folder.
        slug: the chapter.
        store: where its runs lie.
        profile, device: the runs to show.
        tell: takes what happens, as lines for the author.
    """

    def __init__(
        self, root: Path, slug: str, store: Store, *, profile: str, device: str, tell: Callable[[str], None]
    ) -> None:
        self.root, self.slug, self.store = root, slug, store
        self.profile, self.device, self.tell = profile, device, tell
        self.folder = Path(tempfile.mkdtemp(prefix="kexue-preview-"))
        self.version = 0
        self._news = threading.Condition()

    @property
    def site(self) -> Path:
        """The folder to serve."""
        return self.folder / "html"

    def close(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def gather(self) -> Edition:
        """The chapter as its files and the store have it now.

        Raises:
            PressError: naming file and line, when the chapter cannot be read.
        """
        from kexue.press.sources.catalogue import select

        (chapter,) = select(self.root, [self.slug])
        chapter.check()
        return edition(self.root, [chapter], self.store, profile=self.profile, device=self.device)

    def render(self, shown: Edition) -> bool:
        """Render the chapter's page; whether it went well. What is wrong is told with the line of the chapter's text."""
        from kexue.press.site.stage import stage

        began = time.perf_counter()
        source = self.folder / "source"
        with tempfile.TemporaryDirectory(dir=self.folder) as beside:
            data = site_data(shown)
            data["pdf"], data["reference"] = False, []
            problems = stage(shown, data, Path(beside), current=True)
            take_over(Path(beside), source)
        warnings = io.StringIO()
        well = self._sphinx(source, warnings)
        (chapter,) = shown.chapters
        for line in telling(warnings.getvalue(), source).splitlines():
            of_this = not line.startswith("book/") or line.startswith(chapter.chapter.docname)
            if of_this and not self._leads_to_another_chapter(line, chapter.chapter.path.parent):
                self.tell(line)
        for problem in problems:
            if "not listed in _toc.yml" not in problem and "no page; it is left out" not in problem:
                self.tell(problem)
        self.tell(f"rendered in {time.perf_counter() - began:.1f} s")
        with self._news:
            self.version += 1
            self._news.notify_all()
        return well

    def _leads_to_another_chapter(self, line: str, folder: Path) -> bool:
        """Whether a warning is about a link to a page that the book has and the preview leaves out."""
        found = _LINK.search(line)
        places = (folder / found[1], self.root / found[1]) if found else ()
        return any(place.with_suffix(".md").is_file() for place in places)

    def _sphinx(self, source: Path, warnings: io.StringIO) -> bool:
        from sphinx.errors import SphinxError

        try:
            # The script that loads the page again is no file of the site: the pages' policy would stop it.
            own = {"kexue_content_policy": False}
            return render(source, self.site, self.folder / "doctrees", warnings, strict=False, settings=own)
        except (SphinxError, OSError) as error:
            self.tell(str(error))
            return False

    def wait_for_news(self, seen: int) -> int:
        """The page's version, once it is another than `seen`, or after a while."""
        with self._news:
            self._news.wait_for(lambda: self.version != seen, timeout=_HOLD if seen >= 0 else 0)
            return self.version

    def run(self) -> None:
        """Run the chapter's first seed; a failure is told by file and line."""
        command = [sys.executable, "-m", "kexue.cli", "run", self.slug, "--profile", self.profile]
        command += ["--seeds", "1", "--device", self.device]
        done = subprocess.run(
            command, cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        self.tell("run finished" if done.returncode == 0 else done.stderr.strip())

    def watch(self, stopped: Callable[[], bool]) -> None:
        """Render now and after every change, running what the change made stale, until told to stop."""
        seen: dict[Path, int] = {}
        failed = ""
        while not stopped():
            now = dict(self._files())
            if now == seen:
                time.sleep(_LOOK)
                continue
            seen = now
            try:
                shown = self.gather()
                self.render(shown)
                (chapter,) = shown.chapters
                key = repr(chapter.reasons)
                behind = not chapter.runs or any(row["stale"] for row in chapter.claims)
                if behind and key != failed:
                    self.tell(f"running: {'; '.join(chapter.reasons)}")
                    self.run()
                    after = self.gather()
                    failed = key if after.chapters[0].state == "failed" else ""
                    self.render(after)
            except (
                PressError,
                OSError,
            ) as error:  # a state that passes: the next change of a file is another try
                self.tell(str(error))

    def _files(self) -> Iterator[tuple[Path, int]]:
        own = [
            self.root / "_config.yml",
            self.root / "_toc.yml",
            self.root / "book" / "zh" / f"{self.slug}.yml",
            *(self.root / "book").glob(f"*/{self.slug}.md"),
        ]
        for path in [*own, *(self.root / "book" / "_static").rglob("*"), *(self.root / "src").rglob("*.py")]:
            with suppress(OSError):  # an editor may put a file in another's place at this very moment
                if path.is_file():
                    yield path, path.stat().st_mtime_ns


class _Handler(SimpleHTTPRequestHandler):
    """Serves the page, and tells the browser when there is a new one."""

    def __init__(self, *arguments: Any, preview: Preview, **options: Any) -> None:
        self._preview = preview
        super().__init__(*arguments, directory=str(preview.site), **options)

    def do_GET(self) -> None:
        """Answer a file, a page with the reloading script, or the question after news; to this machine's browser alone."""
        path, _, asked = self.path.partition("?")
        site = self._preview.site.resolve()
        page = (site / unquote(path).lstrip("/")).resolve()
        if self.headers.get("Host", "").rpartition(":")[0] not in _OURS or not page.is_relative_to(site):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif path == "/kexue-preview":
            self._answer(
                str(self._preview.wait_for_news(int(asked.removeprefix("seen=")))).encode(), "text/plain"
            )
        elif path.endswith(".html"):
            with suppress(OSError):
                whole = page.read_bytes() if page.is_file() else _WAITING
                self._answer(whole.replace(b"</body>", _RELOAD, 1), "text/html; charset=utf-8")
        else:
            super().do_GET()

    def _answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the author reads what the preview tells."""


def serve(preview: Preview, port: int) -> ThreadingHTTPServer:
    """A server of the preview on this machine alone, answering in a thread of its own."""
    preview.site.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, preview=preview))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def open_in_browser(address: str) -> None:
    """Open an address in the author's browser, where there is a screen: one in the terminal would take it over."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)
