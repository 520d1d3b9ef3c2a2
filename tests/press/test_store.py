"""Runs appear whole or not at all."""

import gzip
import io
import json
import os
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.press.project import PressError
from kexue.press.store import archive as archives
from kexue.press.store import store as store_module
from kexue.press.store.archive import pack
from kexue.press.store.failure import Failure, FailureKind
from kexue.press.store.fingerprint import Fingerprint
from kexue.press.store.manifest import canonical_json, digest
from kexue.press.store.store import NOTEBOOK, Store


def of(*cells: str) -> Fingerprint:
    """What a run of these cells depends on."""
    parameters = {"profile": "quick", "seed": 0}
    return Fingerprint(cells=cells, modules={}, parameters=parameters, data={}, versions={}, device="cpu")


def record(fingerprint: Fingerprint) -> dict:
    """The record of a run that measured nothing."""
    found = {"chapter": "one", "provenance": {}, "claims": [], "measurements": []}
    return {**found, "fingerprint": fingerprint.record()}


FINGERPRINT = of("a")
KEY, RECORD = FINGERPRINT.key, record(FINGERPRINT)


def put(store: Store, fingerprint: Fingerprint = FINGERPRINT, text: str = "{}"):
    """Store a run."""
    workspace = store.workspace(fingerprint.key)
    (workspace / NOTEBOOK).write_text(text)
    return store.commit(workspace, fingerprint.key, record(fingerprint), 1.0)


def stored(folder: Path, text: str = "{}") -> Store:
    store = Store(folder)
    put(store, text=text)
    return store


def test_a_committed_run_is_found_by_key_and_by_chapter(tmp_path):
    store = stored(tmp_path)
    run = store.get(KEY)
    assert run is not None
    assert run.record == RECORD
    assert store.latest("one", "quick", 0, {}) == run
    assert store.latest("one", "quick", 1, {}) is None
    assert not list((tmp_path / "tmp").iterdir())


def test_a_second_commit_replaces_the_first(tmp_path):
    stored(tmp_path, "first")
    store = stored(tmp_path, "second")
    run = store.get(KEY)
    assert run is not None
    assert (run.folder / NOTEBOOK).read_text() == "second"
    assert len(list((tmp_path / "runs" / KEY).iterdir())) == 1


def test_what_a_dead_maker_left_is_cleared_and_never_read(tmp_path):
    store = Store(tmp_path)
    left = store.workspace(KEY)
    (left / NOTEBOOK).write_text("{}")
    assert store.get(KEY) is None
    store.sweep(KEY)
    assert not left.exists()


def test_a_success_clears_the_failure(tmp_path):
    store = Store(tmp_path)
    store.fail(store.workspace(KEY), KEY, Failure(FailureKind.RAISED, "no"))
    store.fail(store.workspace(KEY), KEY, Failure(FailureKind.CELL_LIMIT, "again", line=7))
    failure = store.failure(KEY)
    assert failure is not None
    assert (failure.kind, failure.message, failure.line) == (FailureKind.CELL_LIMIT, "again", 7)
    stored(tmp_path)
    assert store.failure(KEY) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2), st.integers(0, 10**6), st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(tmp_path_factory, which, where, bit):
    store = stored(tmp_path_factory.mktemp("store"), '{"cells": []}')
    run = store.get(KEY)
    assert run is not None
    name = sorted(path.name for path in run.folder.iterdir())[which]
    content = bytearray((run.folder / name).read_bytes())
    content[where % len(content)] ^= 1 << bit
    (run.folder / name).write_bytes(bytes(content))
    again = store.get(KEY)
    # White space of the manifest may change without changing what it says; anything else is damage.
    assert again is None or (name == "manifest.json" and again.manifest == run.manifest)
    assert store.damaged(KEY) == (again is None)


@pytest.mark.parametrize("content", ["", "[]", "3", '{"sha256": 1}', "not json"])
def test_a_manifest_that_is_none_is_damage(tmp_path, content):
    store = stored(tmp_path)
    run = store.get(KEY)
    assert run is not None
    (run.folder / "manifest.json").write_text(content)
    assert store.get(KEY) is None
    assert store.latest("one", "quick", 0, {}) is None


def test_a_run_travels_from_store_to_store(tmp_path):
    run = stored(tmp_path / "there").get(KEY)
    assert run is not None
    here = Store(tmp_path / "here")
    assert here.adopt(KEY, pack(run.folder)).record == RECORD
    assert here.get(KEY) is not None


def test_an_archive_writes_nothing_outside_its_folder(tmp_path):
    run = stored(tmp_path / "there").get(KEY)
    assert run is not None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(run.folder.iterdir()):
            archive.add(path, arcname=f"../../../escaped/{path.name}")
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    made = Store(tmp_path / "here").adopt(KEY, buffer.getvalue())
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(
        path.name for path in run.folder.iterdir()
    )
    assert {path.name for path in tmp_path.iterdir()} == {"there", "here"}


@pytest.mark.parametrize("archive", [b"", b"no archive", b"\0" * 2000])
def test_an_unreadable_archive_is_refused_and_leaves_nothing(tmp_path, archive):
    store = Store(tmp_path)
    with pytest.raises(PressError, match="run again"):
        store.adopt(KEY, archive)
    assert not list((tmp_path / "tmp").iterdir())
    store.adopt_failure(KEY, {"message": "no"}, archive)
    failure = store.failure(KEY)
    assert failure is not None
    assert (failure.kind, failure.message) == (FailureKind.OTHER, "no")


def test_a_run_copied_under_another_key_is_damage(tmp_path):
    store = stored(tmp_path)
    run, other = store.get(KEY), of("b")
    assert run is not None
    target = tmp_path / "runs" / other.key
    target.mkdir()
    run.folder.rename(target / run.folder.name)
    assert store.get(other.key) is None
    assert store.damaged(other.key)
    assert store.latest("one", "quick", 0, {}) is None


def test_a_run_of_another_unit_is_not_adopted(tmp_path):
    run = stored(tmp_path / "there").get(KEY)
    assert run is not None
    here = Store(tmp_path / "here")
    with pytest.raises(PressError, match="or is another one; run again"):
        here.adopt(of("b").key, pack(run.folder))
    # Nor is one whose maker wrote our key on the record of something else.
    forged = replace(run.manifest, key=of("b").key)
    (run.folder / "manifest.json").write_bytes(forged.sealed())
    with pytest.raises(PressError, match="or is another one; run again"):
        here.adopt(of("b").key, pack(run.folder))
    assert not list((tmp_path / "here" / "tmp").iterdir())


def old_manifest(folder: Path, **changes) -> None:
    """Write, as the first press did, a run whose manifest has neither key nor sequence."""
    folder.mkdir(parents=True)
    old = {k: v for k, v in FINGERPRINT.record().items() if k != "scheme"}
    content = canonical_json({**RECORD, "fingerprint": old})
    (folder / "run.json").write_bytes(content)
    (folder / NOTEBOOK).write_text("{}")
    manifest = {
        "chapter": "one",
        "profile": "quick",
        "seed": 0,
        "settings": {},
        "finished": 1e9,
        "seconds": 2.0,
    }
    manifest["files"] = {"run.json": digest(content), NOTEBOOK: digest(b"{}")}
    manifest |= changes
    manifest["sha256"] = digest(canonical_json(manifest))
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_run_of_the_first_press_is_a_run_of_older_code(tmp_path):
    old_manifest(tmp_path / "runs" / KEY / "old")
    store = Store(tmp_path)
    last = store.latest("one", "quick", 0, {})
    assert last is not None
    assert (last.key, last.seconds, last.fingerprint.scheme) == (KEY, 2.0, 1)
    assert store.get(KEY) is None
    assert [run.folder.name for run in store.superseded([])] == ["old"]
    put(store, of("b"))
    newest = store.latest("one", "quick", 0, {})
    assert newest is not None
    assert newest.key == of("b").key


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "0"},
        {"seed": True},
        {"settings": []},
        {"finished": "now"},
        {"files": {}},
        {"files": ["run.json"]},
        {"chapter": None},
        {"sequence": 0.5},
    ],
)
def test_a_manifest_of_another_shape_is_no_run(tmp_path, changes):
    old_manifest(tmp_path / "runs" / KEY / "old", **changes)
    store = Store(tmp_path)
    assert store.latest("one", "quick", 0, {}) is None
    assert store.get(KEY) is None
    assert store.superseded([]) == []


def test_the_newest_run_is_the_one_taken_in_last_whatever_the_clock_says(tmp_path, monkeypatch):
    store = Store(tmp_path)
    put(store, of("a"))
    monkeypatch.setattr(store_module.time, "time", lambda: 1e9)
    monkeypatch.setattr(store_module.time, "time_ns", lambda: 10**18)
    put(store, of("b"))
    newest = store.latest("one", "quick", 0, {})
    assert newest is not None
    assert newest.key == of("b").key


def test_a_reader_beside_commits_never_sees_the_run_absent(tmp_path):
    store = stored(tmp_path)
    held = store.get(KEY)
    assert held is not None
    absent: list[int] = []
    done = threading.Event()

    def read() -> None:
        reader = Store(tmp_path)
        while not done.is_set():
            if reader.get(KEY) is None:
                absent.append(1)

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(60):
        put(store, text='{"cells": []}')
    done.set()
    thread.join()
    assert absent == []
    # What was read before all this is still whole, its notebook that of the run now in its place.
    assert held.record == RECORD
    assert held.notebook() == {"cells": []}


def test_the_run_is_replaced_between_two_looks(tmp_path, monkeypatch):
    """The same, at the one moment that counts: the reader has listed the folder, the old run goes, a new one is there."""
    store = stored(tmp_path)
    listed, replaced = Store._candidates, []

    def listing(self, key):
        found = listed(self, key)
        if not replaced:
            replaced.append(1)
            put(Store(tmp_path))
        return found

    monkeypatch.setattr(Store, "_candidates", listing)
    assert store.get(KEY) is not None
    assert replaced


def test_an_archive_that_unpacks_to_more_than_a_run_may_is_refused(tmp_path, monkeypatch):
    run = stored(tmp_path / "there", "x" * 5000).get(KEY)
    assert run is not None
    here = Store(tmp_path / "here")
    with pytest.raises(PressError, match="no readable archive"):
        here.adopt(KEY, gzip.compress(pack(run.folder)))
    monkeypatch.setattr(archives, "LIMIT", 4000)
    with pytest.raises(PressError, match="is larger than"):
        here.adopt(KEY, pack(run.folder))


def test_superseded_runs_are_listed_and_removed(tmp_path):
    store = stored(tmp_path)
    put(store, of("b"))
    (old,) = store.superseded({of("b").key})
    assert old.key == KEY
    store.remove(old)
    store.remove(old)  # another command was faster
    assert store.superseded({of("b").key}) == []
    assert os.listdir(tmp_path / "runs") == [of("b").key]


def test_what_dead_makers_left_goes_and_what_is_being_made_stays(tmp_path):
    store = Store(tmp_path)
    dead, alive = store.workspace(of("a").key), store.workspace(of("b").key)
    with Store(tmp_path).lock(of("b").key):
        assert store.sweep() == 1
    assert not dead.exists()
    assert alive.exists()


def test_the_manifests_of_a_store_are_read_once(tmp_path, monkeypatch):
    store = Store(tmp_path)
    for name in "abc":
        put(store, of(name))
    read: list[str] = []
    peek = store_module.peek
    monkeypatch.setattr(store_module, "peek", lambda folder: read.append(folder) or peek(folder))
    for _ in range(3):
        assert len(store.peek()) == 3
    put(store, of("d"))
    assert len(store.peek()) == 4
    assert len(read) == 4


@pytest.mark.parametrize(
    "stored", [{}, {"message": 3}, [], {"message": "x", "kind": ["odd"], "line": "1", "traceback": "no"}]
)
def test_a_failure_of_any_shape_is_told_or_left_out(tmp_path, stored):
    folder = tmp_path / "failed" / KEY
    folder.mkdir(parents=True)
    (folder / "failure.json").write_text(json.dumps(stored))
    failure = Store(tmp_path).failure(KEY)
    assert failure == (Failure(FailureKind.OTHER, "x") if len(stored) == 4 else None)
