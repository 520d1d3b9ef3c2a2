"""What is on record: sealed, written in one step, and told by file when it is not what was written."""

import json
import os
import random
import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from kexue.press.project import PressError, write_text
from kexue.press.results.benchmarks import benchmark_problems, benchmarks, write_benchmark
from kexue.press.results.record import SCHEMA, orphans, read_record
from kexue.press.results.sealed import read_sealed, sealed
from tests.book.chapters import ROOT

NAME = Path("results") / "one.json"
RECORDS = sorted((ROOT / "results").glob("*.json"))


def row(**changed: Any) -> dict[str, Any]:
    """A row on record."""
    words = dict.fromkeys(("statement", "statement_zh", "source", "quantity"), "words 字")
    kind = {"kind": "numeric", "unit": "1", "over": "seeds", "scale": "quick", "profile": "quick"}
    claimed = {"id": "small", "expect": "≤ 10", "expect_low": None, "expect_high": 10, **words, **kind}
    measured = {"values": [1.0, 2.5], "mean": 1.75, "interval": [0.1, 3.4], "n": 2, "verdict": "reproduced"}
    runs = {"chapter": "one", "seeds": [0, 1], "seeds_wanted": 2, "stale": False, "run": ["a" * 32, "b" * 32]}
    return {**claimed, **measured, **runs, **changed}


def provenance(**changed: Any) -> dict[str, Any]:
    """The provenance of a run on record."""
    host = {"cpu": "a processor", "cores": 2, "gpu": None, "memory_gb": 24, "system": "Linux x86_64"}
    unit = {"key": "a" * 32, "profile": "quick", "seed": 0, "parameters": {"seed": 0}, "device": "cpu"}
    spent = {"seconds": 1.5, "cpu_seconds": 1.25, "peak_rss_mb": 512, "peak_gpu_mb": 0, "threads": 1}
    made = {"started": "2026-01-02T03:04:05+00:00", "versions": {}, "data_read": {}, "host": host}
    return {**unit, **spent, **made, "commit": None, "dirty": False, **changed}


def record(**changed: Any) -> dict[str, Any]:
    """A record at one profile."""
    return {"quick": {"code": "c" * 32, "claims": [row()], "provenance": [provenance()], **changed}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the record lies; nothing is there yet."""
    (tmp_path / "results").mkdir()
    return tmp_path / NAME


def said(path: Path) -> str:
    """What a reader of the record is told, in one line that names the file and what to do."""
    with pytest.raises(PressError) as error:
        read_record(path.parents[1], NAME)
    text = str(error.value)
    assert text.startswith("results/one.json: ")
    assert text.endswith("; restore it (git checkout) or freeze the chapter again")
    assert "\n" not in text
    assert len(text) < 400
    return text


def test_no_record_is_an_empty_one(path: Path):
    assert read_record(path.parents[1], NAME) == {}


def test_a_record_comes_back_as_it_was_written(path: Path):
    write_text(path, sealed(record(), sort_keys=True))
    assert read_record(path.parents[1], NAME) == record()
    assert [entry.name for entry in path.parent.iterdir()] == ["one.json"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o444


@pytest.mark.parametrize("kept", RECORDS, ids=lambda path: path.stem)
def test_what_is_on_record_in_this_book_is_sound(kept: Path):
    assert read_record(ROOT, kept.relative_to(ROOT))


def test_a_flipped_byte_is_found_out_or_changes_no_value(path: Path):
    whole = sealed(record(), sort_keys=True).encode()
    draw = random.Random(0)
    found = 0
    for _ in range(200):
        broken = bytearray(whole)
        broken[draw.randrange(len(whole))] ^= draw.randrange(1, 256)
        path.write_bytes(broken)
        try:
            assert read_record(path.parents[1], NAME) == record()
        except PressError:
            found += 1
    assert found > 100  # most of the file is values, not space between them


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "must hold an object, got list"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (json.dumps(record()), "has no digest of its own"),
        (sealed(record()).replace("1.75", "1.85"), "does not match its own digest"),
        (sealed(record()).replace("1.75", "NaN"), "NaN is no number"),
        (sealed(record()).replace("1.75", "9" * 5000), "limit"),
        (sealed(record()).replace("words", "\\ud800"), "surrogates not allowed"),
        (json.dumps({**record(), "sha256": 5}), "has no digest of its own"),
    ],
)
def test_what_was_not_written_so_is_refused(path: Path, content: str, words: str):
    path.write_text(content, encoding="utf-8")
    assert words in said(path)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"quick": 5}, "quick: "),
        ({"nightly": record()["quick"]}, "nightly.[key]: "),
        (record(code=None), "quick.code: "),
        (record(claims={}), "quick.claims: "),
        (record(claims=[row(mean="1.75")]), "quick.claims.0.mean: "),
        (record(claims=[row(mean=True)]), "quick.claims.0.mean: "),
        (record(claims=[row(interval=[1.0])]), "quick.claims.0.interval: "),
        (record(claims=[row(verdict="proven")]), "quick.claims.0.verdict: "),
        (record(provenance=[provenance(host=None)]), "quick.provenance.0.host: "),
        (record(provenance=[provenance(seconds="1")]), "quick.provenance.0.seconds: "),
    ],
)
def test_a_value_of_a_wrong_type_is_named(path: Path, content: dict[str, Any], where: str):
    path.write_text(sealed(content), encoding="utf-8")
    assert said(path).startswith(f"results/one.json: {where}")


def test_what_is_no_file_is_refused(path: Path):
    path.symlink_to(path.with_name("nowhere.json"))
    assert "No such file" in said(path)
    path.unlink()
    os.mkfifo(path)  # would be waited for
    assert "is no file" in said(path)
    path.unlink()
    path.mkdir()
    assert "is a folder, not a file" in said(path)


def test_a_file_of_60_mb_is_not_read(path: Path):
    with path.open("wb") as file:
        file.truncate(60 * 2**20)
    assert "has 60 MB, a record at most 16" in said(path)


def test_text_in_another_encoding_is_refused(path: Path):
    path.write_bytes(sealed(record()).encode("utf-16"))
    assert "decode" in said(path)


def test_a_write_that_fails_leaves_the_old_record(path: Path, monkeypatch: pytest.MonkeyPatch):
    write_text(path, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PressError, match="cannot be written: No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["one.json"]


def test_a_folder_that_is_a_file_is_told(tmp_path: Path):
    (tmp_path / "results").write_text("")
    with pytest.raises(PressError, match=r"one\.json cannot be written"):
        write_text(tmp_path / NAME, "new")


def test_the_records_of_no_chapter_are_found(path: Path):
    for name in ("one", "gone", "renamed"):
        path.with_stem(name).write_text("{}")
    assert [found.name for found in orphans(path.parents[1], ["one", "two"])] == ["gone.json", "renamed.json"]


MEASURED: Any = {
    "benchmark": "means of all",
    "machine": "A processor, 4 cores",
    "when": "2026-01-02T03:04:05+00:00",
    "commit": "0123456789ab",
    "rows": [{"n": 1024, "ours, s": 0.5, "agrees": True}, {"n": 4096, "peer, s": None}],
}


def test_a_benchmark_comes_back_as_a_table_and_a_broken_one_hides_no_other(tmp_path: Path):
    path = write_benchmark(tmp_path, MEASURED)
    assert path.relative_to(tmp_path).as_posix() == "benchmarks/results/means_of_all.json"
    (found,) = benchmarks(tmp_path)
    assert found["columns"] == ["n", "ours, s", "agrees", "peer, s"]
    assert found["rows"] == [[1024, 0.5, True, None], [4096, None, None, None]]
    path.with_stem("broken").write_text(path.read_text().replace("0.5", "0.6"), encoding="utf-8")
    assert benchmarks(tmp_path) == [found]
    (problem,) = benchmark_problems(tmp_path)
    assert problem.startswith("benchmarks/results/broken.json: does not match its own digest")
    assert problem.endswith("run the benchmark again with --record")


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"machine": None}, "machine"),
        ({"commit": ""}, "commit"),
        ({"rows": []}, "rows"),
        ({"rows": [1]}, "rows.0"),
        ({"rows": [{}]}, "rows.0"),
        ({"rows": [{"n": [1]}]}, "rows.0.n"),
    ],
)
def test_a_benchmark_of_another_form_is_told_by_file_and_field(tmp_path: Path, wrong: Any, where: str):
    write_benchmark(tmp_path, {**MEASURED, **wrong})
    assert benchmarks(tmp_path) == []
    (problem,) = benchmark_problems(tmp_path)
    assert problem.startswith(f"benchmarks/results/means_of_all.json: {where}")


def test_a_benchmark_s_flipped_byte_is_found_out_or_changes_no_value(tmp_path: Path):
    path = write_benchmark(tmp_path, MEASURED)
    sound, whole, draw = benchmarks(tmp_path), path.read_bytes(), random.Random(1)
    for _ in range(200):
        broken = bytearray(whole)
        broken[draw.randrange(len(whole))] ^= draw.randrange(1, 256)
        path.write_bytes(broken)
        assert benchmarks(tmp_path) == sound or len(benchmark_problems(tmp_path)) == 1


def test_the_digest_does_not_depend_on_order_or_spaces(path: Path):
    text = json.dumps({**json.loads(sealed(record())), "quick": record()["quick"]}, sort_keys=True, indent=7)
    path.write_text(text, encoding="utf-8")
    assert read_sealed(path.parents[1], NAME, SCHEMA.validate_json, "") == record()
    path.write_text(sealed({"b": 1, "a": 2.0}), encoding="utf-8")
    assert read_sealed(path.parents[1], NAME, TypeAdapter(dict[str, float]).validate_json, "") == {
        "a": 2.0,
        "b": 1,
    }
