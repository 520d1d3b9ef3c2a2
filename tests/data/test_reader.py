"""Every way a data set reaches a chapter, and every way it cannot."""

import gzip
import io
import json
import lzma
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kexue.data import DataError, dataset, load, locate, reader, registry
from kexue.data.decode import DECODERS, digest_of, unpack


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


def test_mnist_is_read_as_images_and_labels():
    digits = load("mnist/t10k")
    assert digits["images"].shape == (10_000, 28, 28)
    assert digits["images"].dtype == np.uint8
    assert np.bincount(digits["labels"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_an_idx_file_of_another_type_is_refused():
    with pytest.raises(ValueError, match="IDX"):
        DECODERS["idx"]({"images": b"\0\0\x0d\x01" + bytes(8)})


def test_cifar_is_the_same_from_tiles_and_from_the_public_archive():
    images = np.random.default_rng(0).integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(1000, dtype=np.uint8) % 10
    tiles = images.reshape(25, 40, 32, 32, 3).swapaxes(1, 2).reshape(25 * 32, 40 * 32, 3)
    sheet, numbers, archive = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(tiles).save(sheet, "webp", lossless=True)
    np.save(numbers, labels)
    records = np.hstack([labels[:, None], images.transpose(0, 3, 1, 2).reshape(1000, -1)]).tobytes()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        member.size = len(records)
        tar.addfile(member, io.BytesIO(records))
    mirror = unpack("cifar-tiles", {"50": sheet.getvalue(), "labels:0:1000": numbers.getvalue()})
    public = unpack("cifar-archive", {"test:1000": archive.getvalue()})
    assert digest_of(mirror) == digest_of(public)
    np.testing.assert_array_equal(DECODERS["cifar-tiles"](mirror)["images"], images)


def test_the_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    ours, theirs = load("digits/8x8"), load_digits()
    np.testing.assert_array_equal(ours["images"], theirs.images)
    np.testing.assert_array_equal(ours["labels"], theirs.target)
