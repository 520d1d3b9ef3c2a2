"""Every way a data set reaches a chapter, and every way it cannot."""

import gzip
import json
import lzma
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexue.data import DataError, dataset, load, locate, reader, registry
from kexue.data.decode import digest_of, unpack


def test_every_shipped_set_is_what_the_registry_says():
    shipped = [name for name, entry in registry().items() if entry.shipped]
    assert shipped
    for name in shipped:
        load(name)
        assert reader.digests_read()[name] == dataset(name).digest


def test_every_entry_says_whence_and_under_what_licence():
    for name, entry in registry().items():
        assert entry.source.startswith("https://"), name
        assert entry.licence, name
        assert entry.size > 0, name
        assert len(entry.digest) == 64, name


@given(st.binary(max_size=200))
def test_the_digest_does_not_depend_on_compression(content):
    content = b"text: " + content  # what starts like an archive would be taken for one
    plain, packed = (unpack("text", {"a": packer(content)}) for packer in (bytes, gzip.compress))
    assert digest_of(plain) == digest_of(packed) == digest_of(unpack("text", {"a": lzma.compress(content)}))


def test_the_digest_tells_parts_apart():
    assert digest_of({"a": b"xy", "b": b""}) != digest_of({"a": b"x", "b": b"y"})


def test_an_unknown_name_is_told_with_those_there_are():
    with pytest.raises(KeyError, match="leaderboards/glue"):
        load("leaderboards/gleu")


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A registered set of one file, neither shipped nor cached, whose public address nothing answers at."""
    content = b"word\tcount\n"
    file = {"part": "a", "path": "sub/a.txt", "url": "http://127.0.0.1:9/a.txt"}
    entry = {
        "title": "T",
        "source": "https://example.org/a",
        "licence": "CC0",
        "size": len(content),
        "digest": digest_of({"a": content}),
        "decoder": "text",
        "shipped": False,
        "files": [file],
    }
    (tmp_path / "registry.json").write_text(json.dumps({"remote": entry}))
    monkeypatch.setattr(sys.modules["kexue.data.registry"], "PACKAGE", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KEXUE_DATA", raising=False)
    registry.cache_clear()
    yield content
    registry.cache_clear()


def test_no_network_says_what_to_do(remote):
    assert locate("remote") == [None]
    with pytest.raises(DataError, match=r"cannot be reached .*Put it at \$KEXUE_DATA/sub/a.txt"):
        load("remote")


def test_the_folder_and_the_cache_give_the_same(remote, tmp_path, monkeypatch):
    for folder in (tmp_path / "mirror", reader.cache_folder()):
        target = folder / "sub" / "a.txt"
        target.parent.mkdir(parents=True)
        target.write_bytes(remote)
    assert load("remote") == {"a": remote.decode()}  # from the cache
    monkeypatch.setenv("KEXUE_DATA", str(tmp_path / "mirror"))
    assert locate("remote") == [tmp_path / "mirror" / "sub" / "a.txt"]
    assert load("remote") == {"a": remote.decode()}


def test_a_wrong_digest_names_file_and_source(remote, tmp_path, monkeypatch):
    target = tmp_path / "sub" / "a.txt"
    target.parent.mkdir()
    target.write_bytes(remote + b"more")
    monkeypatch.setenv("KEXUE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"a.txt has SHA-256 .* the registry wants .* https://example.org/a"):
        load("remote")


def test_a_broken_archive_is_told(remote, tmp_path, monkeypatch):
    target = tmp_path / "sub" / "a.txt"
    target.parent.mkdir()
    target.write_bytes(gzip.compress(remote)[:-4])
    monkeypatch.setenv("KEXUE_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cannot be unpacked"):
        load("remote")


def test_an_archive_of_texts_reads_in_order_of_name_without_its_index(tmp_path):
    path = tmp_path / "c.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (("c/b", "two"), ("c/README", "about"), ("c/a", "one"), ("c/cats.txt", "index")):
            archive.writestr(name, text)
    assert unpack("zip-text", {"all": path.read_bytes()}) == {"all": b"one\ntwo"}
