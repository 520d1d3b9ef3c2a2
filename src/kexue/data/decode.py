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
    return {part: _unpacked(content) for part, content in files.items()}


def _zip_text(content: bytes) -> bytes:
    """The text members of an archive in order of name, one after the other; read-me and index files left out."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(info.filename for info in archive.infolist() if info.file_size)
        return b"\n".join(archive.read(name) for name in names if not _is_index(name.rpartition("/")[2]))


def _is_index(name: str) -> bool:
    """Whether a member of an NLTK archive is about the corpus rather than of it (README, CONTENTS, cats.txt)."""
    return name.isupper() or name == "cats.txt"


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
}
