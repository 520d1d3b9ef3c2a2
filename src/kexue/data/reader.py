"""Reading a data set, whatever its way here, with its digest checked and recorded."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

from kexue.data.decode import DECODERS, digest_of, unpack
from kexue.data.registry import PACKAGE, DataFile, DataSet, dataset

_read: dict[str, str] = {}


class DataError(RuntimeError):
    """A data set is missing, unreachable or not what it should be; the message says what to do."""


def cache_folder() -> Path:
    """Where downloads are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("kexue"))


def _mirror() -> Path | None:
    folder = os.environ.get("KEXUE_DATA")
    return Path(folder) if folder else None


def locate(name: str) -> list[Path | None]:
    """Where each file of a data set lies on this machine (None: it would have to be downloaded)."""
    entry = dataset(name)
    return [_present(entry, file) for file in entry.files]


def _present(entry: DataSet, file: DataFile) -> Path | None:
    if file.package is not None:
        candidates = [Path(str(resources.files(file.package))) / file.path]
    elif entry.shipped:
        candidates = [PACKAGE / file.path]
    else:
        mirror = _mirror()
        candidates = [folder / file.path for folder in (mirror, cache_folder()) if folder is not None]
    return next((path for path in candidates if path.is_file()), None)


def _download(entry: DataSet, file: DataFile) -> Path:
    where = f"Put it at $KEXUE_DATA/{file.path}; its public source is {entry.source}."
    if entry.shipped:
        raise DataError(
            f"data set {entry.name!r}: {file.path} is missing from the installed package; install kexue again"
        )
    if file.url is None:
        raise DataError(
            f"data set {entry.name!r}: {file.path} is not here and has no direct download. {where}"
        )
    import pooch

    target = cache_folder() / file.path
    try:
        pooch.retrieve(file.url, known_hash=file.sha256, fname=target.name, path=target.parent)
    except ValueError as error:  # pooch: the hash of the download differs
        raise DataError(
            f"data set {entry.name!r}: what {file.url} sent is not the registered file: {error}"
        ) from error
    except OSError as error:
        raise DataError(
            f"data set {entry.name!r}: {file.url} cannot be reached ({error}). Without a network: {where}"
        ) from error
    return target


def load(name: str) -> Any:
    """Read a data set: a DataFrame for tables, a dict of strings by part for texts, of uint8 arrays for images and labels.

    Args:
        name: a name of the registry, such as "leaderboards/glue".

    Raises:
        KeyError: unknown name.
        DataError: a file is missing, cannot be downloaded, or its decoded content has another digest.
    """
    entry = dataset(name)
    decoder, wanted = entry.decoder, entry.files
    if entry.archive is not None and any(_present(entry, file) is None for file in wanted):
        decoder, wanted = entry.archive.decoder, (entry.archive.file,)
    files = {}
    paths = []
    for file in wanted:
        path = _present(entry, file) or _download(entry, file)
        paths.append(str(path))
        files[file.part] = path.read_bytes()
    try:
        parts = unpack(decoder, files)
    except Exception as error:
        raise DataError(
            f"data set {name!r}: {', '.join(paths)} cannot be unpacked ({error}); fetch it again"
        ) from error
    digest = digest_of(parts)
    if digest != entry.digest:
        raise DataError(
            f"data set {name!r}: the content of {', '.join(paths)} has SHA-256 {digest}, the registry wants "
            f"{entry.digest}. Delete it and fetch it again from {entry.source}."
        )
    _read[name] = digest
    return DECODERS[entry.decoder](parts)


def digests_read() -> dict[str, str]:
    """The data sets this process has read so far, with their digests."""
    return dict(_read)
