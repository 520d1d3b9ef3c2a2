"""What the world outside refuses is told in one sentence, on one road; names show as they are typed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kexue.press.project import outside
from tests.press.tiny_book import TinyBook


def _told(book: TinyBook, *arguments: str, env: dict[str, str] | None = None) -> str:
    done = book.kexue(*arguments, env=env)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().split("\n")
    return line


@pytest.mark.parametrize("text", ["title: a\n\tsphinx: b\n", "- a\n", "repository: [a]\n", "html: 5\n"])
def test_a_configuration_that_is_none_is_told_by_file(book: TinyBook, text: str):
    book.write("one")
    (book.root / "_config.yml").write_text(text)
    assert "_config.yml" in _told(book, "publish")


def test_a_contents_file_of_another_form_is_told(book: TinyBook):
    book.write("one")
    (book.root / "_toc.yml").write_text("root: 5\n")
    assert "_toc.yml: `root` must name the first page" in _told(book, "list")


def test_a_store_that_is_a_file_is_told_before_anything_is_shown(book: TinyBook, tmp_path: Path):
    book.write("one")
    (tmp_path / "file").write_text("")
    done = book.kexue("run", env={"KEXUE_STORE": str(tmp_path / "file")})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "the store" in done.stderr
    assert not done.stdout


def test_a_file_in_the_place_of_a_folder_is_told(book: TinyBook):
    book.write("one")
    assert book.kexue("run").returncode == 0
    (book.root / "results").write_text("")
    assert "results" in _told(book, "freeze", "one", "--profile", "quick")


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EACCES, "may not be written"), (errno.ENOSPC, "make room"), (errno.EADDRINUSE, "--port")],
)
def test_what_to_do_is_said_with_what_is_refused(number: int, said: str):
    text = str(outside(OSError(number, os.strerror(number), "somewhere")))
    assert text.startswith("somewhere: ")
    assert said in text


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1"])
def test_an_output_that_cannot_encode_a_sign_gets_another(book: TinyBook, encoding: str):
    book.write("one")
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for command in (("run",), ("list",), ("claims",)):
        done = subprocess.run(
            [sys.executable, "-m", "kexue.cli", *command],
            cwd=book.root,
            env={**os.environ, "KEXUE_STORE": str(book.store), **env},
            capture_output=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr.decode(encoding, "replace")
        assert "one" in done.stdout.decode(encoding)


@pytest.mark.parametrize("title", ["[/INST] never stops", "[red] and :smile:", "a | b {c} <d>"])
def test_names_show_as_they_are_typed(book: TinyBook, title: str):
    book.write("one", title=f"'{title}'")
    done = book.kexue("list")
    assert done.returncode == 0, done.stderr
    assert title in done.stdout
    assert book.json("list")[0]["title"] == title


def test_publish_takes_no_chapter_and_says_what_does(book: TinyBook):
    book.write("one")
    assert "kexue preview one" in _told(book, "publish", "one")


def test_why_looks_at_the_seeds_asked_for(book: TinyBook):
    book.write("one", seeds=3)
    assert [row["seed"] for row in book.json("why", "--seeds", "1")] == [0]
