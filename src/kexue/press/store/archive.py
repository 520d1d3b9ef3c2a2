"""A run folder as one archive, as it travels between machines."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from kexue.press.project import PressError

LIMIT = (
    256 * 2**20
)  # bytes that a run may unpack to; what a cell may show is limited, so that a run has a few


def pack(folder: Path) -> bytes:
    """A run folder as one archive, to travel."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name, recursive=False)
    return buffer.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Write the files of an archive made by `pack`; whatever else it may hold, nothing leaves the folder.

    Raises:
        PressError: when it cannot be read as one, or holds more than `LIMIT`.
    """
    room = LIMIT
    try:
        # Only as `pack` makes it, uncompressed: a compressed one may be a thousand times as large as it looks.
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as members:
            for member in members:
                room -= member.size
                if room < 0:
                    raise PressError(f"a run arrived that is larger than {LIMIT // 2**20} MB; run again")
                content = members.extractfile(member) if member.isfile() else None
                if content is not None:
                    (folder / Path(member.name).name).write_bytes(content.read())
    except tarfile.TarError as error:
        raise PressError(f"a run arrived as no readable archive ({error}); run again") from error
