"""A change re-runs what it touches and nothing else, and `kexue why` says what changed."""

import json
import os
import shutil
from pathlib import Path

import pytest

import kexue
from kexue.press.sources.catalogue import catalogue
from kexue.press.store.fingerprint import fingerprint
from kexue.press.store.manifest import canonical_json, digest
from tests.press.tiny_book import TinyBook


class Editable:
    """A tiny book of two chapters on an editable copy of the library; each execution leaves a line."""

    def __init__(self, book: TinyBook, folder: Path) -> None:
        self.book = book
        self.library = folder / "lib" / "kexue"
        self.counter = folder / "executions"
        shutil.copytree(
            Path(kexue.__file__).parent, self.library, ignore=shutil.ignore_patterns("__pycache__")
        )
        package = self.library / "toy"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "deep.py").write_text('"""Deep."""\n\n\ndef depth():\n    """How deep."""\n    return 1\n')
        (package / "middle.py").write_text("from kexue.toy import deep\n\nx = deep.depth()\n")
        (package / "other.py").write_text("y = 2\n")
        self.env = {"PYTHONPATH": os.pathsep.join([str(folder / "lib"), os.environ.get("PYTHONPATH", "")])}
        self.write("user", "from kexue.toy.middle import x")
        self.write("stranger", "from kexue.toy import other")

    def write(self, slug: str, body: str, **fields: int) -> Path:
        note = f"with open({str(self.counter)!r}, 'a') as f:\n    print({slug!r}, file=f)"
        return self.book.write(slug, body=f"{body}\n{note}", **fields)

    def run(self) -> list[str]:
        """Run what is stale; the chapters that were executed."""
        self.counter.write_text("")
        done = self.book.kexue("run", env=self.env)
        assert done.returncode == 0, done.stderr
        return sorted(self.counter.read_text().split())

    def why(self) -> str:
        return self.book.kexue("why", env=self.env).stdout

    def edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def editable(book: TinyBook, tmp_path: Path) -> Editable:
    """The book, run once."""
    made = Editable(book, tmp_path)
    assert made.run() == ["stranger", "user"]
    assert made.run() == []
    return made


def test_a_function_reached_through_another_module_reruns_exactly_its_users(editable: Editable):
    editable.edit(editable.library / "toy" / "deep.py", "return 1", "return 3")
    assert "module kexue.toy.deep changed" in editable.why()
    assert editable.run() == ["user"]
    assert editable.run() == []


def test_a_module_nobody_imports_and_comments_and_docstrings_rerun_nothing(editable: Editable):
    (editable.library / "toy" / "unused.py").write_text("z = 1\n")
    editable.edit(editable.library / "toy" / "deep.py", "    return 1", "    # a comment\n    return 1")
    editable.edit(editable.library / "toy" / "deep.py", '"""How deep."""', '"""How very deep."""')
    assert editable.run() == []


def test_a_package_initialiser_reruns_all_below_it(editable: Editable):
    (editable.library / "toy" / "__init__.py").write_text("w = 1\n")
    assert "module kexue.toy changed" in editable.why()
    assert editable.run() == ["stranger", "user"]


def test_prose_and_comments_of_a_chapter_rerun_nothing_and_code_does(editable: Editable):
    path = editable.book.root / "book" / "language" / "user.md"
    editable.edit(path, "More prose.", "Quite other prose.")
    editable.edit(path, "import x\n", "import x  # why\n")
    assert editable.run() == []
    editable.edit(path, "seed + 1", "seed + 2")
    line = next(i for i, text in enumerate(path.read_text().split("\n"), start=1) if "seed + 2" in text)
    assert f"cell at line {line} changed: claims.measure" in editable.why()
    assert [row["stale"] for row in editable.book.json("claims", "user", env=editable.env)] == [True, True]
    assert editable.run() == ["user"]


def test_more_seeds_run_only_the_new_ones(editable: Editable):
    editable.counter.write_text("")
    done = editable.book.kexue("run", "user", "--seeds", "0,2", env=editable.env)
    assert done.returncode == 0, done.stderr
    assert editable.counter.read_text().split() == ["user"]


def test_force_runs_what_is_fresh(editable: Editable):
    editable.counter.write_text("")
    assert editable.book.kexue("run", "user", "--force", env=editable.env).returncode == 0
    assert editable.counter.read_text().split() == ["user"]


def test_a_hidden_import_is_refused(editable: Editable):
    editable.write("user", "import importlib\nimportlib.import_module('kexue.toy.other')")
    done = editable.book.kexue("run", env=editable.env)
    assert done.returncode == 1
    assert "kexue.toy.other, which no import statement reaches" in done.stderr


def test_data_read_without_being_declared_is_refused(editable: Editable):
    editable.write("user", "from kexue.data import load\nload('leaderboards/rules')")
    done = editable.book.kexue("run", env=editable.env)
    assert done.returncode == 1
    assert "read leaderboards/rules; add it to `kexue.data`" in done.stderr


def test_sources_edited_while_they_run_are_not_stored(editable: Editable):
    path = editable.library / "toy" / "deep.py"
    editable.write("user", f"import kexue.toy.middle\nopen({str(path)!r}, 'a').write('q = 1\\n')")
    done = editable.book.kexue("run", env=editable.env)
    assert done.returncode == 1
    assert "sources changed while it ran (module kexue.toy.deep changed); run again" in done.stderr


def test_a_module_named_like_the_press_is_no_press(editable: Editable):
    (editable.library / "pressure.py").write_text("p = 1\n")
    editable.write("user", "from kexue.pressure import p")
    assert editable.run() == ["user"]
    editable.edit(editable.library / "pressure.py", "p = 1", "p = 99")
    assert "module kexue.pressure changed" in editable.why()
    assert editable.run() == ["user"]


def test_a_cell_that_is_only_a_string_is_its_output(editable: Editable):
    editable.write("user", "'accuracy 93 %'\nx = 1")
    editable.run()
    editable.edit(editable.book.root / "book" / "language" / "user.md", "93", "12")
    assert editable.run() == ["user"]


def test_only_runs_of_one_code_are_pooled(editable: Editable):
    editable.write("user", "x = 1", seeds=2)
    editable.run()
    editable.write("user", "assert seed == 0", seeds=2)
    assert editable.book.kexue("run", "user", env=editable.env).returncode == 1
    row, _ = editable.book.json("claims", "user", env=editable.env)
    assert (row["seeds"], row["seeds_wanted"], row["stale"]) == ([0], 2, False)


def test_what_a_claim_says_reruns_nothing_and_is_judged_anew(editable: Editable):
    path = editable.book.root / "book" / "language" / "user.md"
    assert editable.book.json("claims", "user", env=editable.env)[0]["expect"] == "≤ 10"
    for old, new in (
        ("It is small.", "It is far below nothing."),
        ("expect: ≤ 10", "expect: ≤ -10\n      scale: smoke"),
        ("kind: article", "kind: ours"),
        ("registered: before", "registered: 'changed: the bar'"),
        ("from: nowhere", "from: elsewhere"),
    ):
        editable.edit(path, old, new)
    editable.edit(editable.library / "claims" / "interval.py", "LEVEL = 0.95", "LEVEL = 0.90")
    assert editable.run() == []
    row, _ = editable.book.json("claims", "user", env=editable.env)
    assert (row["statement"], row["expect"], row["kind"]) == ("It is far below nothing.", "≤ -10", "ours")
    assert not row["stale"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("over: seeds", "over: exact"),
        ("expect: ≤ 0", "expect: ≤ 0\n      unit: nat"),
        ("forgotten:", "remembered:"),
    ],
)
def test_what_a_claim_is_measured_under_makes_its_chapter_stale(book: TinyBook, old: str, new: str):
    def key() -> str:
        (chapter,) = catalogue(book.root)
        return fingerprint(chapter, profile="quick", seed=0, device="cpu").key

    path = book.write("one")
    before, text = key(), path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert key() != before
    path.write_text(text)
    assert key() == before


def test_a_run_of_the_first_press_is_shown_as_of_older_code(book: TinyBook):
    """Its manifest names neither key nor sequence, its fingerprint no scheme, its provenance less than today's."""
    book.write("one")
    assert book.kexue("run").returncode == 0
    (folder,) = book.store.glob("runs/*/*")
    record = json.loads((folder / "run.json").read_text())
    del record["fingerprint"]["scheme"], record["provenance"]["cpu_seconds"]
    record["fingerprint"]["cells"][0] = "0" * 16
    (folder / "run.json").write_bytes(canonical_json(record))
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["key"], manifest["sequence"], manifest["sha256"]
    manifest["files"]["run.json"] = digest((folder / "run.json").read_bytes())
    manifest["sha256"] = digest(canonical_json(manifest))
    (folder / "manifest.json").write_bytes(canonical_json(manifest))
    folder.parent.rename(folder.parents[1] / ("0" * 32))
    assert book.state("one") == "stale"
    assert "the stored run is of an older press" in book.kexue("why").stdout
    assert [(row["values"], row["stale"]) for row in book.json("claims")] == [([1.0], True), ([], True)]
    assert book.kexue("run").returncode == 0
    assert book.state("one") == "fresh"
