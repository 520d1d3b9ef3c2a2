"""Runs appear whole or not at all."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.press.store import NOTEBOOK, Store

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
