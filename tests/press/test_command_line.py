"""What the commands print, record and return."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kexue.press.results.record import read_record
from kexue.press.results.snapshot import edition
from kexue.press.sources.catalogue import catalogue
from kexue.press.store.store import Store
from tests.press.tiny_book import TinyBook

LEDGER_KEYS = {
    *("chapter", "id", "statement", "source", "kind", "expect", "unit", "values", "mean", "interval", "n"),
    *("verdict", "profile", "seeds", "stale", "run"),
}


def test_the_lists_have_their_keys(book: TinyBook):
    book.write("one", seeds=2)
    (listed,) = book.json("list")
    assert {"chapter", "title", "part", "profiles", "claims", "state", "seconds"} <= set(listed)
    assert (listed["chapter"], listed["part"], listed["claims"]) == ("one", "language", 2)
    assert (listed["state"], listed["seconds"]) == ("never run", None)
    assert book.kexue("run").returncode == 0
    (listed,) = book.json("list")
    assert listed["state"] == "fresh"
    assert listed["seconds"] > 0
    measured, forgotten = book.json("claims", "one")
    assert set(measured) >= LEDGER_KEYS
    assert measured["values"] == [1.0, 2.0]
    assert measured["seeds"] == [0, 1]
    assert measured["verdict"] == "reproduced" if measured["interval"][1] <= 10 else "inconclusive"
    assert forgotten["verdict"] == "untested"
    assert (forgotten["n"], forgotten["values"], forgotten["mean"], forgotten["interval"]) == (
        0,
        [],
        None,
        None,
    )
    (why,) = [row for row in book.json("why") if row["seed"] == 1]
    assert why["reasons"] == []


def test_a_record_keeps_the_verdict_and_strict_minds_when_it_turns(book: TinyBook):
    book.write("one", seeds=3)
    refused = book.kexue("freeze", "one", "--profile", "quick")
    assert refused.returncode == 2
    assert "only fresh runs can be frozen" in refused.stderr
    assert book.kexue("run").returncode == 0
    assert book.kexue("freeze", "one", "--profile", "quick").returncode == 0
    record = json.loads((book.root / "results" / "one.json").read_text())["quick"]
    assert [claim["verdict"] for claim in record["claims"]] == ["reproduced", "untested"]
    assert {"commit", "versions", "device", "seconds", "host", "started"} <= set(record["provenance"][0])
    assert book.kexue("run", "--strict").returncode == 0
    book.write("one", seeds=3, offset="100")
    turned = book.kexue("run")
    assert turned.returncode == 0
    assert "small: refuted, on record reproduced" in turned.stderr
    assert book.kexue("run", "--strict").returncode == 1


def test_a_record_of_no_bytes_is_told_and_blocks_nothing(book: TinyBook):
    book.write("one")
    book.write("two")
    (book.root / "results").mkdir()
    record = book.root / "results" / "one.json"
    record.touch()
    ran = book.kexue("run")
    assert ran.returncode == 0, ran.stderr
    assert "one: results/one.json: Expecting value" in ran.stderr
    assert book.kexue("run", "--strict").returncode == 1
    shown = edition(book.root, catalogue(book.root), Store(book.store), profile="quick", device="cpu")
    assert [chapter.frozen for chapter in shown.chapters] == [{}, {}]
    assert [len(chapter.problems) for chapter in shown.chapters] == [1, 0]
    frozen = book.kexue("freeze", "one", "--profile", "quick")
    assert frozen.returncode == 0, frozen.stderr
    assert "written anew, with quick alone" in frozen.stderr
    assert set(read_record(book.root, Path("results/one.json"))) == {"quick"}
    assert book.kexue("run", "--strict").returncode == 0


def test_runs_over_different_examples_leave_one_claim_unjudged(book: TinyBook):
    path = book.write("one", seeds=2)
    text = path.read_text(encoding="utf-8")
    measure = 'claims.measure("small", [0.5] * (3 + seed))'
    text = text.replace("over: seeds", "over: examples").replace('claims.measure("small", seed + 1)', measure)
    path.write_text(text, encoding="utf-8")
    book.write("two")
    ran = book.kexue("run")
    assert ran.returncode == 0, ran.stderr
    assert "one: small: not judged: " in ran.stderr
    rows = {(row["chapter"], row["id"]): row for row in book.json("claims")}
    unjudged = rows["one", "small"]
    assert (unjudged["verdict"], unjudged["n"], unjudged["interval"]) == ("untested", 0, None)
    assert unjudged["problem"].endswith("must cover the same examples in every run, got [3, 4]")
    assert rows["two", "small"]["values"] == [1.0]
    assert rows["two", "small"]["problem"] == ""
    assert "must cover the same examples" in " ".join(book.kexue("claims").stdout.split())
    refused = book.kexue("freeze", "one", "--profile", "quick")
    assert refused.returncode == 2
    assert "one cannot be frozen: small: not judged" in refused.stderr


def test_freezing_a_profile_the_chapter_lacks_is_refused(book: TinyBook):
    book.write("one")
    done = book.kexue("freeze", "one", "--profile", "full")
    assert done.returncode == 2
    assert "chapter 'one' has no profile 'full'; it has smoke, quick" in done.stderr


@pytest.mark.parametrize("seeds", ["0", "a", "1,1", "-1"])
def test_bad_seeds_are_refused(book: TinyBook, seeds: str):
    book.write("one")
    done = book.kexue("run", f"--seeds={seeds}")
    assert done.returncode == 2
    assert "--seeds" in done.stderr


def test_asking_for_cuda_without_one_is_refused(book: TinyBook):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    book.write("one")
    done = book.kexue("run", "--device", "cuda")
    assert done.returncode == 1
    assert "not runnable here: one · quick · seed 0: it needs 1 GPU, which this machine lacks" in done.stderr


def test_help_reads_well_and_comes_at_once():
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "kexue.cli", "--help"], capture_output=True, text=True, check=True
        )
        assert "Run what is stale, in parallel" in done.stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Seconds of processor, not of the clock: the other worker of the test run may hold the machine.
    assert min(once() for _ in range(5)) < 0.5


def test_planning_loads_neither_torch_nor_the_notebook_libraries(book: TinyBook):
    book.write("one")
    code = (
        "import sys\nfrom kexue.cli import app\n"
        "try:\n    app(['why'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'jupytext', 'nbformat', 'papermill', 'matplotlib', 'pandas'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=book.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_doctor_looks_at_everything(book: TinyBook):
    book.write("one")
    findings = {entry["what"]: entry for entry in book.json("doctor")}
    assert {"Python", "torch", "disk", "store", "fonts", "data leaderboards/glue"} <= set(findings)
    assert findings["Python"]["ok"]
    assert findings["data leaderboards/glue"]["ok"]
    assert "absent" in findings["data text/brown"]["found"] or findings["data text/brown"]["ok"]


def test_clean_lists_what_is_of_older_code_and_removes_it_when_told(book: TinyBook):
    book.write("one")
    assert book.kexue("run").returncode == 0
    assert "0 runs" in book.kexue("clean").stdout
    book.write("one", offset="2")
    assert book.kexue("run").returncode == 0
    listed = book.kexue("clean").stdout
    assert "one · quick · seed 0" in listed
    assert "1 runs of older code" in listed
    assert len(list(book.store.glob("runs/*/*"))) == 2
    assert "1 runs removed" in book.kexue("clean", "--yes").stdout
    assert len(list(book.store.glob("runs/*/*"))) == 1
    assert book.state("one") == "fresh"
