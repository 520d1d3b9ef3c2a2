"""The preview goes on through whatever an editor does to files, and serves this machine's browser nothing but the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from kexue.press.results.snapshot import Edition
from kexue.press.site.chapter import ChapterPage
from kexue.press.site.preview import Preview, serve
from kexue.press.sources.chapter import Chapter
from kexue.press.store.store import Store
from tests.site.tinybook import tiny_edition, write_book


class Counting(Preview):
    """A preview that counts what it would render, and runs nothing."""

    rendered = 0
    told: list[str]

    def render(self, shown: Edition) -> bool:
        self.rendered += 1
        return True

    def run(self) -> None:
        """Nothing is run."""


@pytest.fixture
def preview(tmp_path: Path) -> Iterator[Counting]:
    write_book(tmp_path)
    path = tmp_path / "book" / "generative" / "unrun.md"
    path.write_text(
        path.read_text(encoding="utf-8").replace("data: [toy/board]", "data: []"), encoding="utf-8"
    )
    told: list[str] = []
    made = Counting(
        tmp_path, "unrun", Store(tmp_path / ".kexue"), profile="quick", device="cpu", tell=told.append
    )
    made.told = told
    yield made
    made.close()


def ask(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", f"{host}:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_only_the_page_is_served_and_only_to_this_machine(preview: Counting) -> None:
    server = serve(preview, 0)
    try:
        port = server.server_port
        (preview.folder / "secret.html").write_text("<body>secret</body>")
        (preview.site / "there.html").write_text("<body>there</body>")
        status, page = ask(port, "/book/generative/unrun.html")
        assert status == 200
        assert "rendering" in page
        assert "/kexue-preview" in page, "it reloads by itself"
        assert ask(port, "/there.html")[0] == ask(port, "/there.html", "localhost")[0] == 200
        for path in ("/../secret.html", "/%2e%2e/secret.html", "/x/../../secret.html"):
            status, page = ask(port, path)
            assert status == 403, path
            assert "secret" not in page
        assert ask(port, "/there.html", "evil.example")[0] == 403
        assert ask(port, "/kexue-preview?seen=-1", "evil.example")[0] == 403
    finally:
        server.shutdown()
        server.server_close()


def test_a_state_that_passes_does_not_end_the_preview(preview: Counting) -> None:
    path, toc = preview.root / "book" / "generative" / "unrun.md", preview.root / "_toc.yml"
    text, contents = path.read_text(encoding="utf-8"), toc.read_text(encoding="utf-8")
    told = preview.told

    def by_rename() -> None:
        beside = path.with_suffix(".tmp")
        beside.write_text(text + "\nMore.\n", encoding="utf-8")
        beside.replace(path)

    broken: list[Callable[[], object]] = [
        toc.unlink,
        path.unlink,
        lambda: path.write_text("", encoding="utf-8"),
        lambda: path.write_bytes(b"\xff\xfe---"),
        lambda: toc.write_text("root: [", encoding="utf-8"),
    ]
    waiting: list[str] = []

    def look() -> bool:
        """Called before each look: break something, mend it once that was told, save by rename at the end."""
        if waiting and waiting[0] == "told" and told:
            waiting[:] = ["mended", str(preview.rendered)]
            path.write_text(text, encoding="utf-8")
            toc.write_text(contents, encoding="utf-8")
        elif not waiting or (waiting[0] == "mended" and preview.rendered > int(waiting[1])):
            if preview.rendered == 0:
                return False
            told.clear()
            if broken:
                waiting[:] = ["told"]
                broken.pop(0)()
            elif waiting[-1] != "last":
                waiting[:] = ["mended", str(preview.rendered), "last"]
                by_rename()
            else:
                return True
        return False

    preview.watch(look)
    assert not broken
    assert preview.rendered >= 6


def test_while_it_is_written_a_chapter_shows_its_present_text_with_the_outputs_it_has(tmp_path: Path) -> None:
    write_book(tmp_path)
    (older,) = [one for one in tiny_edition(tmp_path).chapters if one.chapter.slug == "older"]
    path = older.chapter.path
    text = (
        path.read_text(encoding="utf-8")
        .replace("A wide table:", "A new sentence:")
        .replace("draw()", "draw(2)")
    )
    path.write_text(text, encoding="utf-8")
    edited = replace(older, chapter=Chapter(tmp_path, path), state="failed")
    shown = "\n".join(
        cell["source"] for cell in ChapterPage(edited, "failed", current=True).notebook["cells"]
    )
    assert "A new sentence:" in shown
    assert "draw(2)" in shown
    assert "{measurement} human-first" in shown
    published = "\n".join(cell["source"] for cell in ChapterPage(edited, "failed").notebook["cells"])
    assert "draw()" in published, "a site shows the cells that were run"
