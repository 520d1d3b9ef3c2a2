"""Runs appear whole or not at all."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.press.project import PressError
from kexue.press.store.archive import pack
from kexue.press.store.store import NOTEBOOK, Store

KEY = "k" * 32
RECORD = {
    "chapter": "one",
    "fingerprint": {"parameters": {"profile": "quick", "seed": 0}},
    "provenance": {},
    "claims": [],
    "measurements": [],
}


def stored(folder: Path, text: str = "{}") -> Store:
    store = Store(folder)
    workspace = store.workspace(KEY)
    (workspace / NOTEBOOK).write_text(text)
    store.commit(workspace, KEY, RECORD, 1.0)
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
    store.fail(store.workspace(KEY), KEY, {"message": "no"})
    store.fail(store.workspace(KEY), KEY, {"message": "again"})
    failure = store.failure(KEY)
    assert failure is not None
    assert failure["message"] == "again"
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
    assert failure["message"] == "no"
