"""The scripts in ci/ that the workflows call, run as they are."""

import hashlib
import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from kexue.claims.display import MEASUREMENT_MIME
from kexue.press.project import write_text
from kexue.press.results.sealed import sealed
from tests.book.chapters import ROOT
from tests.press.tiny_book import TinyBook

CI = ROOT / "ci"
SHELL = sorted(CI.rglob("*.sh"))


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as GitHub would, but for its variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GIT_"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_shell_scripts_are_sound(script: Path):
    checked = run(Path(sys.executable).with_name("shellcheck"), "--severity=style", script, cwd=ROOT)
    assert checked.returncode == 0, checked.stdout
    assert run("bash", "-n", script, cwd=ROOT).returncode == 0
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")


def git(folder: Path, *arguments: str) -> str:
    """Run git with an identity and no configuration of the machine."""
    identity = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {f"GIT_{who}_DATE": "2026-01-02T03:04:06Z" for who in ("AUTHOR", "COMMITTER")}
    done = run("git", *arguments, cwd=folder, GIT_CONFIG_GLOBAL=os.devnull, **identity, **dates)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A clone with all branches of a repository, that also has a fork's commit in reach; commits by name."""
    origin, commits = tmp_path / "origin", {}
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch", "main")
    for name in ("first", "main"):
        git(origin, "commit", "--quiet", "--allow-empty", "--message", name)
        commits[name] = git(origin, "rev-parse", "HEAD")
    git(origin, "switch", "--quiet", "--create", "topic")
    git(origin, "commit", "--quiet", "--allow-empty", "--message", "topic")
    commits["topic"] = git(origin, "rev-parse", "HEAD")
    git(origin, "switch", "--quiet", "--detach", "main")
    git(origin, "commit", "--quiet", "--allow-empty", "--message", "from a fork")
    commits["fork"] = git(origin, "rev-parse", "HEAD")
    git(origin, "update-ref", "refs/pull/1/head", "HEAD")
    git(origin, "switch", "--quiet", "main")
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    git(tmp_path / "clone", "fetch", "--quiet", "origin", "refs/pull/1/head")
    return tmp_path / "clone", commits


@pytest.mark.parametrize("name", ["first", "main", "topic"])
def test_a_commit_of_a_branch_is_admitted(clone, name: str, tmp_path: Path):
    folder, commits = clone
    output = tmp_path / "output"
    done = run(CI / "admit.sh", commits[name], cwd=folder, GITHUB_OUTPUT=str(output))
    assert done.returncode == 0, done.stderr
    assert output.read_text() == f"commit={commits[name]}\n"


@pytest.mark.parametrize("given", ["fork", "0" * 40, "main", "", "a\ncommit=b", "--all"])
def test_no_other_commit_is_admitted(clone, given: str, tmp_path: Path):
    folder, commits = clone
    output = tmp_path / "output"
    git(folder, "cat-file", "-e", commits["fork"])  # that it can be had says nothing
    done = run(
        CI / "admit.sh", commits[given] if given == "fork" else given, cwd=folder, GITHUB_OUTPUT=str(output)
    )
    assert done.returncode != 0
    assert not output.exists()


@pytest.mark.parametrize(("state", "stale"), [("fresh", "false"), ("failed", "true"), ("never run", "true")])
def test_the_plan_says_whether_anything_is_stale(tmp_path: Path, state: str, stale: str):
    rows = [
        {"chapter": "a", "profile": "full", "seed": 0, "state": "fresh", "reasons": []},
        {"chapter": "b", "profile": "full", "seed": 1, "state": state, "reasons": ["x | y", "two\nlines"]},
    ]
    files = {"GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    done = subprocess.run(
        [sys.executable, CI / "plan.py"],
        input=json.dumps(rows),
        text=True,
        env={**os.environ, **files},
        check=True,
    )
    assert done.returncode == 0
    assert (tmp_path / "output").read_text() == f"stale={stale}\n"
    summary = (tmp_path / "summary").read_text()
    assert summary.startswith(f"{0 if stale == 'false' else 1} of 2 runs are to be made.")
    assert ("| b | full | 1 |" in summary) == (stale == "true")
    assert ("x \\| y; two lines" in summary) == (stale == "true")


def put_on_record(book: Path, name: str, *runs: dict[str, object]) -> None:
    """Put runs on record, without claims."""
    host = {"cpu": "a processor", "gpu": "a GPU", "cores": 2, "memory_gb": 24, "system": "Linux"}
    unit = {"key": "0" * 32, "profile": "full", "seed": 0, "parameters": {}, "commit": None, "dirty": False}
    spent = {"cpu_seconds": 1.0, "peak_rss_mb": 512, "peak_gpu_mb": 0, "threads": 1, "started": ""}
    made = {"host": host, "versions": {}, "data_read": {}}
    provenance = [{**unit, **spent, **made, **entry} for entry in runs]
    text = sealed({"full": {"code": "0" * 32, "claims": [], "provenance": provenance}})
    write_text(book / "results" / f"{name}.json", text)


def test_costs_are_the_recorded_hours_at_the_price(tmp_path: Path):
    put_on_record(tmp_path, "cheap", {"device": "cpu", "seconds": 1800})
    put_on_record(tmp_path, "dear", *[{"device": "cuda", "seconds": 5400, "peak_gpu_mb": 2048}] * 2)
    costs = [sys.executable, CI / "costs.py", "--book", tmp_path]
    lines = run(*costs, "--gpu-hour", "2", "--cpu-hour", "0.5", cwd=tmp_path).stdout.splitlines()
    assert lines[2] == "| dear | 2 | 3.000 | 0.000 | 0.5 GiB | 2.0 GiB | a GPU | 6.00 |"
    assert lines[3] == "| cheap | 1 | 0.000 | 0.500 | 0.5 GiB |  | a processor | 0.25 |"
    assert lines[4] == "| **all** | 3 | 3.000 | 0.500 |  |  |  | 6.25 |"
    assert (
        "cost" not in run(*costs, "--cpu-hour", "0.5", cwd=tmp_path).stdout
    )  # a price is missing: no sum is claimed
    missing = run(*costs, "--profile", "quick", cwd=tmp_path)
    assert missing.returncode == 1
    assert "nothing is on record at profile quick" in missing.stderr
    (tmp_path / "results" / "cheap.json").write_text("")
    broken = run(*costs, cwd=tmp_path)
    assert broken.returncode == 1
    assert broken.stderr.startswith("costs: results/cheap.json: Expecting value")


def test_costs_of_what_is_on_record():
    done = run(sys.executable, CI / "costs.py", "--profile", "quick", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for path in (ROOT / "results").glob("*.json"):
        assert f"| {path.stem} |" in done.stdout


def test_records_and_fault_tests_of_no_chapter_are_told(tmp_path: Path):
    assert run(sys.executable, CI / "check_records.py", cwd=ROOT).returncode == 0
    book = TinyBook(tmp_path)
    for name in ("one", "two-words"):
        book.write(name)
        put_on_record(tmp_path, name)
    tests = tmp_path / "tests" / "book"
    tests.mkdir(parents=True)
    (tests / "test_two_words_faults.py").touch()
    assert run(sys.executable, CI / "check_records.py", cwd=tmp_path).returncode == 0
    (tmp_path / "book" / "language" / "two-words.md").rename(tmp_path / "book" / "language" / "three.md")
    (tmp_path / "results" / "one.json").write_text("{}")
    done = run(sys.executable, CI / "check_records.py", cwd=tmp_path)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "results/one.json:",
        "results/two-words.json",
        "tests/book/test_two_words_faults.py",
    ]


@pytest.fixture
def book(tmp_path: Path) -> TinyBook:
    """A tiny book in a git repository: one chapter that runs with two seeds, one that fails; and a site."""
    book = TinyBook(tmp_path / "book-root")
    book.write("one", seeds=2)
    book.write("broken", "raise RuntimeError('no')")
    assert book.kexue("run").returncode == 1
    site = book.root / "_build" / "html"
    site.mkdir(parents=True)
    (site / "index.html").write_text("<p>site</p>")
    (site / "kexue-executed.zip").write_bytes(b"the site once more")
    (site / "kexue-executed.pdf").write_bytes(b"%PDF")
    (book.root / "LICENSE").write_text("licence")
    (book.root / ".gitignore").write_text("/_build/\n/.kexue/\n")
    git(book.root, "init", "--quiet")
    git(book.root, "add", ".")
    git(book.root, "commit", "--quiet", "--message", "book")
    return book


def script(book: TinyBook, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of ci/ on a book."""
    done = run(sys.executable, CI / name, *arguments, cwd=book.root, KEXUE_STORE=str(book.store))
    assert done.returncode == 0, done.stderr
    return done


def test_everything_that_ran_is_collected_and_archived(book: TinyBook):
    script(book, "collect.py", "quick", "out", "--freeze")
    out = book.root / "out"
    assert sorted(path.name for path in (out / "notebooks").iterdir()) == [
        "one-quick-seed0.ipynb",
        "one-quick-seed1.ipynb",
    ]
    assert all(
        cell.execution_count
        for cell in nbformat.read(out / "notebooks/one-quick-seed0.ipynb", 4).cells
        if cell.cell_type == "code"
    )
    assert {row["state"] for row in json.loads((out / "list.json").read_text())} == {"fresh", "failed"}
    assert any(
        "RuntimeError" in reason
        for row in json.loads((out / "why.json").read_text())
        for reason in row["reasons"]
    )
    (failed,) = (out / "failed").iterdir()
    assert (failed / "partial.ipynb").is_file()
    assert [path.name for path in (out / "results").iterdir()] == [
        "one.json"
    ]  # only what is fresh is on record

    script(book, "archive.py", "quick", "archive")
    (archive,) = (book.root / "archive").glob("*.zip")
    first = archive.read_bytes()
    assert run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=archive.parent).returncode == 0
    assert hashlib.sha256(first).hexdigest() in (archive.parent / "SHA256SUMS").read_text()
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        inside = {name.removeprefix(f"{archive.stem}/") for name in opened.namelist()}
        assert {entry.date_time for entry in opened.infolist()} == {(2026, 1, 2, 3, 4, 6)}
    assert inside == {
        "site/index.html",
        "site/kexue-executed.pdf",
        "claims.json",
        "LICENSE",
        "notebooks/one-quick-seed0.ipynb",
        "notebooks/one-quick-seed1.ipynb",
    }
    script(book, "archive.py", "quick", "archive")
    assert archive.read_bytes() == first

    book.write("one", "x = 2", seeds=2)  # what older code measured is not passed off as the present code's
    script(book, "collect.py", "quick", "out")
    assert not (out / "notebooks").exists()
    assert not (out / "results").exists()


def test_the_summary_names_the_verdicts_that_are_not_on_record(book: TinyBook):
    assert book.kexue("freeze", "one", "--profile", "quick").returncode == 0
    said = script(book, "verdicts.py", "quick").stdout
    assert "| one | fresh | 1 reproduced, 1 untested |  |" in said
    assert "Every verdict is the one on record." in said
    book.write("one", seeds=2, offset="1000")
    assert book.kexue("run", "one").returncode == 0
    said = script(book, "verdicts.py", "quick").stdout
    assert "| one | fresh | 1 refuted, 1 untested | 1 |" in said
    assert "* one: small: refuted, on record reproduced" in said
    assert "| broken | failed |" in said


def test_everything_that_is_installed_is_pinned():
    done = run(sys.executable, CI / "lock.py", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_a_package_that_is_unpinned_or_pinned_otherwise_is_told():
    text = "# by hand\nSome.Name==1.0\nother==2.0\n"
    versions = {"some-name": "1.1", "other": "2.0", "third": "3.0"}
    module = runpy.run_path(str(CI / "lock.py"))
    assert module["differences"](text, versions) == [
        "some-name is pinned at 1.0, here is 1.1",
        "third 3.0 is not pinned",
    ]
    new = module["locked"](text, versions)
    assert new == f"# by hand\nSome.Name==1.1\nother==2.0\n\n{module['LINE']}\nthird==3.0\n"
    assert module["locked"](new, versions) == new
    assert module["differences"](new, versions) == []


def notebook(path: Path, *cells: tuple[int | None, list[dict[str, object]]]) -> Path:
    """An executed notebook by its cells: count and outputs."""
    made = nbformat.v4.new_notebook()
    for count, outputs in cells:
        cell = nbformat.v4.new_code_cell("x", execution_count=count)
        cell.outputs = [nbformat.v4.new_output(**output) for output in outputs]
        made.cells.append(cell)
    nbformat.write(made, path)
    return path


MEASURED = {"output_type": "display_data", "data": {MEASUREMENT_MIME: {}}}
ERROR = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([(1, [MEASURED]), (None, [])], "[2]"),
        ([(1, [MEASURED]), (2, [ERROR])], "ended with an error"),
        ([(1, [])], "measured no claim"),
    ],
)
def test_a_reader_whose_notebook_did_not_run_is_heard(tmp_path: Path, cells, words: str):
    path = notebook(tmp_path / "n.ipynb", *cells)
    done = run(sys.executable, CI / "reader_check.py", path, ROOT, cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr


def test_a_reader_whose_notebook_ran_is_content(tmp_path: Path):
    path = notebook(tmp_path / "n.ipynb", (1, [MEASURED]), (2, []))
    assert run(sys.executable, CI / "reader_check.py", path, ROOT, cwd=tmp_path).returncode == 0
    elsewhere = run(sys.executable, CI / "reader_check.py", path, tmp_path, cwd=tmp_path)
    assert "kexue was imported from" in elsewhere.stderr


GROUPS = {
    "runner_groups": [
        {"id": 1, "name": "open", "restricted_to_workflows": False, "selected_workflows": []},
        {
            "id": 2,
            "name": "gpu",
            "restricted_to_workflows": True,
            "selected_workflows": ["o/r/.github/workflows/full.yml@refs/heads/main"],
        },
    ]
}


@pytest.mark.parametrize(("group", "code"), [("gpu", 0), ("open", 1), ("absent", 2)])
def test_a_runner_is_registered_for_one_job_in_a_guarded_group_only(tmp_path: Path, group: str, code: int):
    log = tmp_path / "log"
    (tmp_path / "groups.json").write_text(json.dumps(GROUPS))
    fake = tmp_path / "gh"
    fake.write_text(
        f'#!/bin/bash\necho "$@" >>{log}\ncase "$*" in *generate-jitconfig*) echo secret;; *) cat {tmp_path}/groups.json;; esac\n'
    )
    fake.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    command = ["bash", "-c", 'echo "started with $JITCONFIG"']
    done = run(CI / "runner/one-job.sh", "o", group, *command, cwd=tmp_path, PATH=path)
    assert done.returncode == code, done.stderr
    assert ("started with secret" in done.stdout) == (code == 0)
    assert ("generate-jitconfig" in log.read_text()) == (code == 0)
    if code == 0:
        assert "runner_group_id=2" in log.read_text()
