"""Stored runs, addressed by fingerprint: each appears whole or not at all, and is checked by hash when read.

    <store>/runs/<key>/<name>/       manifest.json + run.json + notebook.ipynb    finished runs
    <store>/failed/<key>/            failure.json (+ partial.ipynb)               the last failure, until a run succeeds
    <store>/locks/<key>.lock         held while a run of that key is made
    <store>/tmp/<key>-<name>/        runs being made
    <store>/sequence                 of the last run taken in

A run is made in tmp/ and renamed into place. A folder that does not verify counts as absent: the run is made again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kexue.press.project import PressError
from kexue.press.store.archive import unpack
from kexue.press.store.failure import Failure
from kexue.press.store.index import Index, peek, run_folders
from kexue.press.store.manifest import Manifest, canonical_json, digest
from kexue.press.store.stored_run import MANIFEST, NOTEBOOK, PARTIAL, RECORD, Run, read

__all__ = ["MANIFEST", "NOTEBOOK", "PARTIAL", "RECORD", "Run", "Store", "Unwritable"]

_FAILURE = "failure.json"


class Unwritable(PressError):
    """The store cannot be written; the message says why and what to do."""


class Store:
    """The stored runs of one book.

    Args:
        folder: where they lie; made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._peeked: dict[str, tuple[Path, Manifest] | None] = {}  # a folder never changes what it is of

    def get(self, key: str) -> Run | None:
        """The newest run of that key that verifies; a damaged one counts as absent (see `damaged`)."""
        while True:
            candidates = self._candidates(key)
            found = [run for folder in candidates if (run := read(folder, key)) and run.manifest.key == key]
            if found:
                return max(found, key=lambda run: run.manifest.order)
            if (
                self._candidates(key) == candidates
            ):  # else another command has just put a newer one in their place
                return None

    def damaged(self, key: str) -> bool:
        """Whether a run of that key is stored and none verifies."""
        return bool(self._candidates(key)) and self.get(key) is None

    def _candidates(self, key: str) -> set[Path]:
        try:
            return {Path(entry) for entry in os.scandir(self.folder / "runs" / key)}
        except OSError:
            return set()

    def peek(self) -> list[tuple[Path, Manifest]]:
        """Every run folder with its manifest, unverified: enough to search by. A manifest is read once."""
        found = []
        for path in run_folders(self.folder / "runs"):
            if path not in self._peeked:
                manifest = peek(path)
                self._peeked[path] = (Path(path), manifest) if manifest is not None else None
            if (entry := self._peeked[path]) is not None:
                found.append(entry)
        return found

    def index(self) -> Index:
        """The runs there are now, by what they are of: read once, asked for each unit of a plan."""
        return Index(self.peek())

    def latest(self, slug: str, profile: str, seed: int, settings: Mapping[str, Any]) -> Run | None:
        """The last finished run of a chapter at a profile, seed and changed settings, whatever its code was then."""
        return next(self.index().runs(slug, profile, seed, settings), None)

    def failure(self, key: str) -> Failure | None:
        """What is known of the last failure of that key, if no run has succeeded since."""
        try:
            return Failure.from_record(json.loads((self.folder / "failed" / key / _FAILURE).read_bytes()))
        except (OSError, ValueError, RecursionError):
            return None

    def workspace(self, key: str) -> Path:
        """A fresh folder to make a run of `key` in.

        Raises:
            Unwritable: when the store cannot be written.
        """
        try:
            folder = self.folder / "tmp" / f"{key}-{uuid.uuid4().hex[:12]}"
            folder.mkdir(parents=True)
        except OSError as error:
            raise self.unwritable(error) from error
        return folder

    def commit(self, workspace: Path, key: str, record: dict[str, Any], seconds: float) -> Run:
        """Turn a workspace that holds the executed notebook into a stored run, in one rename.

        Raises:
            Unwritable: when the disk is full or the store cannot be written; nothing is left half done.
        """
        parameters = record["fingerprint"]["parameters"]
        try:
            (workspace / RECORD).write_bytes(canonical_json(record))
            manifest = Manifest(
                key=key,
                chapter=record["chapter"],
                profile=parameters["profile"],
                seed=parameters["seed"],
                settings=parameters.get("settings", {}),
                sequence=0,
                finished=time.time(),
                seconds=seconds,
                files={name: digest((workspace / name).read_bytes()) for name in (NOTEBOOK, RECORD)},
            )
            return self._put(workspace, key, manifest)
        except OSError as error:
            shutil.rmtree(workspace, ignore_errors=True)
            raise self.unwritable(error) from error

    def _put(self, workspace: Path, key: str, manifest: Manifest) -> Run:
        """Rename a workspace that holds a whole run into place; then earlier runs of the key and its failure go."""
        manifest = replace(manifest, sequence=self._next_sequence())
        (workspace / MANIFEST).write_bytes(manifest.sealed())
        for name in (NOTEBOOK, RECORD, MANIFEST):
            with (workspace / name).open("rb") as handle:
                os.fsync(handle.fileno())
        older = self._candidates(key)
        target = self.folder / "runs" / key / uuid.uuid4().hex[:12]
        target.parent.mkdir(parents=True, exist_ok=True)
        workspace.rename(target)
        for folder in older:
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder / "failed" / key, ignore_errors=True)
        return Run(target, manifest, (target / RECORD).read_bytes())

    def _next_sequence(self) -> int:
        """A number above that of every run taken in before, also after the clock was set back."""
        path = self.folder / "sequence"
        with self.lock("sequence"):
            try:
                last = int(path.read_text())
            except (OSError, ValueError):
                last = 0
            number = max(time.time_ns(), last + 1)
            path.with_suffix(".new").write_text(str(number))
            path.with_suffix(".new").replace(path)
        return number

    def adopt(self, key: str, archive: bytes) -> Run:
        """Take in a run that was made in another store (see `pack`), if it verifies and is of `key`.

        Raises:
            Unwritable: when the store cannot be written.
            PressError: when the archive holds no whole run of that key.
        """
        workspace = self.workspace(key)
        try:
            unpack(archive, workspace)
            run = read(workspace, key)
            if run is None or run.manifest.key != key:
                raise PressError(f"the run {key} arrived damaged, or is another one; run again")
            return self._put(workspace, key, run.manifest)
        except OSError as error:
            raise self.unwritable(error) from error
        finally:
            shutil.rmtree(workspace, ignore_errors=True)

    def adopt_failure(self, key: str, record: Any, archive: bytes | None = None) -> None:
        """Keep what is known of a run that failed elsewhere, as plain data; the archive may hold its partial notebook.

        Raises:
            Unwritable: when the store cannot be written.
        """
        workspace = self.workspace(key)
        try:
            if archive is not None:
                unpack(archive, workspace)
        except PressError:  # what happened is told all the same, without the notebook
            pass
        except OSError as error:
            shutil.rmtree(workspace, ignore_errors=True)
            raise self.unwritable(error) from error
        self.fail(workspace, key, Failure.from_record(record))

    def fail(self, workspace: Path, key: str, failure: Failure) -> None:
        """Keep a failed run's partial notebook and what is known of the failure, in place of an earlier failure.

        Raises:
            Unwritable: when the store cannot be written.
        """
        target = self.folder / "failed" / key
        try:
            stored = replace(failure, finished=time.time()).record()
            (workspace / _FAILURE).write_bytes(canonical_json(stored))
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(workspace.with_name(workspace.name + "-old"))
            workspace.rename(target)
        except OSError as error:
            raise self.unwritable(error) from error
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
            shutil.rmtree(workspace.with_name(workspace.name + "-old"), ignore_errors=True)

    def sweep(self, key: str | None = None) -> int:
        """Remove what dead makers left behind.

        Args:
            key: what makers of this key left; the caller holds the lock on it. None: of every key that nobody holds.

        Returns:
            How many folders are gone.
        """
        left = sorted((self.folder / "tmp").glob(f"{key or '*'}-*"))
        gone = 0
        for folder in left:
            with contextlib.ExitStack() as held:
                if key is None and not self._hold(folder.name.split("-")[0], held):
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                gone += not folder.exists()
        return gone

    def _hold(self, key: str, held: contextlib.ExitStack) -> bool:
        from filelock import Timeout

        try:
            held.enter_context(self.lock(key).acquire(blocking=False))
        except Timeout:
            return False
        return True

    def superseded(self, keys_in_use: Collection[str]) -> list[Run]:
        """The stored runs of keys that nothing asks for any more, the oldest first; damaged ones are left out.

        Args:
            keys_in_use: of every unit of the book as it is now.
        """
        old = [path for path, _ in self.peek() if path.parent.name not in keys_in_use]
        found = [run for path in old if (run := read(path, path.parent.name)) is not None]
        return sorted(found, key=lambda run: run.manifest.order)

    def remove(self, run: Run) -> None:
        """Remove a stored run.

        Raises:
            Unwritable: when the store cannot be written.
        """
        try:
            shutil.rmtree(run.folder)
            with contextlib.suppress(OSError):  # not empty: there is another run of the key
                run.folder.parent.rmdir()
        except FileNotFoundError:  # another command was faster
            pass
        except OSError as error:
            raise self.unwritable(error) from error

    def unwritable(self, error: OSError) -> Unwritable:
        """What to tell the user of an error in writing the store."""
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            why = "is read-only"
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "has no space left"
        else:
            why = f"cannot be written ({error})"
        return Unwritable(f"the store {self.folder} {why}; free it or set KEXUE_STORE to another folder")

    def check_writable(self) -> None:
        """Check that runs can be stored.

        Raises:
            PressError: saying why not and what to do.
        """
        shutil.rmtree(self.workspace("probe"), ignore_errors=True)

    def lock(self, key: str) -> Any:
        """The lock that the maker of a run of `key` holds; freed by the system when its process ends.

        Raises:
            Unwritable: when the store cannot be written.
        """
        from filelock import FileLock

        try:
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.unwritable(error) from error
        return FileLock(self.folder / "locks" / f"{key}.lock")
