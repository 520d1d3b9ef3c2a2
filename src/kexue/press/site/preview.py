"""`kexue preview`: one chapter in the browser, rendered again at every save; changed code is run again, then rendered.

One Sphinx process keeps what it has read, so an edit of the prose shows in a second or two. The numbers are those of the
stored run until the new one has finished; meanwhile the page says that they are of older code.
"""

from __future__ import annotations

import filecmp
import io
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

from kexue.press.project import PressError
from kexue.press.results.snapshot import Edition, edition
from kexue.press.site.build import telling
from kexue.press.site.data import site_data
from kexue.press.store.store import Store

_LOOK = 0.2  # seconds between two looks at the files
_HOLD = 25.0  # seconds a browser's question after news is held
_LINK = re.compile(r"(?:unknown document|target not found): '([\w./-]+)'")
_RELOAD = b"""<script>
(async () => {
  const ask = async (seen) => (await fetch(`/kexue-preview?seen=${seen}`)).text();
  for (let seen = await ask(-1); ; ) {
    const now = await ask(seen).catch(() => new Promise((done) => setTimeout(done, 1000, seen)));
    if (now !== seen) { location.reload(); return; }
  }
})();
</script></body>"""


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
            problems = stage(shown, {**site_data(shown), "pdf": False, "reference": []}, Path(beside))
            _take_over(Path(beside), source)
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
        from jupyter_book.config import get_final_config
        from sphinx.application import Sphinx
        from sphinx.errors import SphinxError
        from sphinx.util.docutils import docutils_namespace, patch_docutils

        config, _ = get_final_config(
            user_yaml=source / "_config.yml", sourcedir=source, cli_config={"latex_individualpages": False}
        )
        config.pop("latex_documents", None)
        try:
            # sphinx-external-toc looks at every object of the process to find one collector: that wakes up the warnings
            # of whatever libraries happen to be loaded. Sphinx's own complaints go to `warnings`, not this way.
            with patch_docutils(str(source)), docutils_namespace(), catch_warnings():
                simplefilter("ignore")
                app = Sphinx(
                    source,
                    None,
                    self.site,
                    self.folder / "doctrees",
                    "html",
                    confoverrides=config,
                    status=None,
                    warning=warnings,
                )
                app.build()
                return bool(app.statuscode == 0)
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
            except PressError as error:
                self.tell(str(error))

    def _files(self) -> Iterator[tuple[Path, int]]:
        from kexue.press.sources.catalogue import select

        (chapter,) = select(self.root, [self.slug])
        own = [chapter.path, self.root / "_config.yml", self.root / "_toc.yml"]
        for path in [*own, *(self.root / "book" / "_static").rglob("*"), *(self.root / "src").rglob("*.py")]:
            if path.is_file():
                yield path, path.stat().st_mtime_ns


def _take_over(new: Path, folder: Path) -> None:
    """Make a folder hold what another holds; files that stay the same keep their times, so that Sphinx skips them."""
    wanted = {path.relative_to(new) for path in new.rglob("*") if path.is_file()}
    for path in [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []:
        if path.relative_to(folder) not in wanted:
            path.unlink()
    for name in wanted:
        target = folder / name
        if not target.is_file() or not filecmp.cmp(new / name, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(new / name, target)


class _Handler(SimpleHTTPRequestHandler):
    """Serves the page, and tells the browser when there is a new one."""

    def __init__(self, *arguments: Any, preview: Preview, **options: Any) -> None:
        self._preview = preview
        super().__init__(*arguments, directory=str(preview.site), **options)

    def do_GET(self) -> None:
        """Answer a file, a page with the reloading script, or the question after news."""
        path, _, asked = self.path.partition("?")
        if path == "/kexue-preview":
            self._answer(
                str(self._preview.wait_for_news(int(asked.removeprefix("seen=")))).encode(), "text/plain"
            )
        elif path.endswith(".html") and (page := self._preview.site / path.lstrip("/")).is_file():
            self._answer(page.read_bytes().replace(b"</body>", _RELOAD, 1), "text/html; charset=utf-8")
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
