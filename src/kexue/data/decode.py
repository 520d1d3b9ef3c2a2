"""From the bytes of a data set's files to what a chapter works with, and the digest of that content."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import zipfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def _unpacked(content: bytes) -> bytes:
    """The bytes themselves, out of gzip or xz if they are in one (told by their first bytes)."""
    if content[:2] == b"\x1f\x8b":
        return gzip.decompress(content)
    if content[:6] == b"\xfd7zXZ\x00":
        return lzma.decompress(content)
    return content


def digest_of(parts: Mapping[str, bytes]) -> str:
    """SHA-256 over the parts in order of name: for each its name, its length and its unpacked bytes."""
    hasher = hashlib.sha256()
    for part in sorted(parts):
        hasher.update(f"{part}\0{len(parts[part])}\0".encode())
        hasher.update(parts[part])
    return hasher.hexdigest()


def unpack(decoder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The content of the files, compression removed: what the digest covers."""
    if decoder == "zip-text":
        return {part: _zip_text(content) for part, content in files.items()}
    if decoder == "cifar-tiles":
        return _cifar_tiles(files)
    if decoder == "cifar-archive":
        ((part, content),) = files.items()
        return _cifar_archive(part, content)
    return {part: _unpacked(content) for part, content in files.items()}


def _zip_text(content: bytes) -> bytes:
    """The text members of an archive in order of name, one after the other; read-me and index files left out."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(info.filename for info in archive.infolist() if info.file_size)
        return b"\n".join(archive.read(name) for name in names if not _is_index(name.rpartition("/")[2]))


def _is_index(name: str) -> bool:
    """Whether a member of an NLTK archive is about the corpus rather than of it (README, CONTENTS, cats.txt)."""
    return name.isupper() or name == "cats.txt"


def _cifar_tiles(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Images from sheets of 25 × 40 tiles of 32 × 32 RGB, row by row, and labels; part "labels:a:b" is a slice of the file."""
    import numpy as np
    from PIL import Image

    images, labels = [], b""
    for part, content in files.items():
        name, *limits = part.split(":")
        if name == "labels":
            first, last = map(int, limits)
            labels = np.load(io.BytesIO(content), allow_pickle=False)[first:last].astype(np.uint8).tobytes()
        else:
            sheet = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            images.append(sheet.reshape(25, 32, 40, 32, 3).swapaxes(1, 2).reshape(1000, 32, 32, 3).tobytes())
    return {"images": b"".join(images), "labels": labels}


def _cifar_archive(part: str, content: bytes) -> dict[str, bytes]:
    """The same from the public archive of binary batches; part "train:n" or "test:n" is the first n images of a split.

    A record of a batch is one byte of label and 3 × 32 × 32 bytes of image, channel by channel.
    """
    import tarfile

    import numpy as np

    split, count = part.split(":")
    batches = [f"data_batch_{k}.bin" for k in range(1, 6)] if split == "train" else ["test_batch.bin"]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [archive.extractfile(f"cifar-10-batches-bin/{name}") for name in batches]
        raw = b"".join(member.read() for member in members if member is not None)
    records = np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3 * 32 * 32)[: int(count)]
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return {"images": images.tobytes(), "labels": records[:, 0].tobytes()}


def _cifar(parts: Mapping[str, bytes]) -> dict[str, Any]:
    import numpy as np

    arrays = {part: np.frombuffer(content, np.uint8).copy() for part, content in parts.items()}
    return {"images": arrays["images"].reshape(-1, 32, 32, 3), "labels": arrays["labels"]}


def _idx(parts: Mapping[str, bytes]) -> dict[str, Any]:
    """The IDX format of MNIST, unsigned bytes: two zeros, 0x08, the number of axes, their lengths (big-endian), the data."""
    import numpy as np

    arrays = {}
    for part, content in parts.items():
        if content[:3] != b"\0\0\x08":
            raise ValueError(
                f"part {part!r} must be an IDX file of unsigned bytes, got the magic {content[:4]!r}"
            )
        shape = np.frombuffer(content, ">u4", count=content[3], offset=4).astype(int)
        arrays[part] = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape).copy()
    return arrays


def _digits(parts: Mapping[str, bytes]) -> dict[str, Any]:
    """The 8 × 8 digits of scikit-learn: a row of 64 intensities from 0 to 16 and a label an image."""
    import numpy as np

    (content,) = parts.values()
    rows = np.loadtxt(io.BytesIO(content), delimiter=",").astype(np.uint8)
    return {"images": rows[:, :-1].reshape(-1, 8, 8), "labels": rows[:, -1]}


def _table(parts: Mapping[str, bytes]) -> pd.DataFrame:
    import pandas as pd

    (content,) = parts.values()
    return pd.read_csv(io.BytesIO(content))


def _text(parts: Mapping[str, bytes]) -> dict[str, str]:
    return {part: content.decode("utf-8") for part, content in parts.items()}


DECODERS: dict[str, Callable[[Mapping[str, bytes]], Any]] = {
    "csv": _table,
    "text": _text,
    "zip-text": _text,
    "idx": _idx,
    "digits": _digits,
    "cifar-tiles": _cifar,
}
