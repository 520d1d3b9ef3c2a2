"""Stored runs, addressed by fingerprint: each appears whole or not at all, and is checked by hash when read.

    <store>/runs/<key>/<name>/       manifest.json + run.json + notebook.ipynb    finished runs
    <store>/failed/<key>/            failure.json (+ partial.ipynb)               the last failure, until a run succeeds
    <store>/locks/<key>.lock         held while a run of that key is made
    <store>/tmp/                     runs being made

A run is made in tmp/ and renamed into place. A folder that does not verify counts as absent: the run is made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kexue.press.project import PressError
from kexue.press.store.archive import unpack
from kexue.press.store.fingerprint import Fingerprint

NOTEBOOK = "notebook.ipynb"
PARTIAL = "partial.ipynb"
RECORD = "run.json"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Run:
    """A finished run as stored: its folder and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def key(self) -> str:
        """The fingerprint's key."""
        return self.folder.parent.name

    @cached_property
    def record(self) -> dict[str, Any]:
        """Fingerprint, provenance, claims and measurements."""
        return dict(json.loads((self.folder / RECORD).read_text(encoding="utf-8")))

    @property
    def fingerprint(self) -> Fingerprint:
        """What the run depended on."""
        return Fingerprint.from_record(self.record["fingerprint"])

    @property
    def seconds(self) -> float:
        """Wall time of the run."""
        return float(self.manifest["seconds"])

    def notebook(self) -> Any:
        """The executed notebook, as plain data."""
        return json.loads((self.folder / NOTEBOOK).read_text(encoding="utf-8"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(data: dict[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _of(manifest: dict[str, Any]) -> tuple[str, str, int, dict[str, Any]]:
    """What a run is of: chapter, profile, seed, changed settings."""
    return manifest["chapter"], manifest["profile"], manifest["seed"], manifest.get("settings", {})


class Unwritable(PressError):
    """The store cannot be written; the message says why and what to do."""


class Store:
    """The stored runs of one book.

    Args:
        folder: where they lie; made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _manifest(self, folder: Path) -> dict[str, Any] | None:
        """The manifest of a run folder if it and every file it names verify, else None."""
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            own = manifest.pop("sha256")
            if _digest(_canonical(manifest)) != own:
                return None
            for name, wanted in manifest["files"].items():
                if _digest((folder / name).read_bytes()) != wanted:
                    return None
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return None
        return dict(manifest)

    def get(self, key: str) -> Run | None:
        """The newest run of that key that verifies; a damaged one counts as absent (see `damaged`)."""
        best = None
        for folder in self._candidates(key):
            manifest = self._manifest(folder)
            if manifest is not None and (best is None or manifest["finished"] > best.manifest["finished"]):
                best = Run(folder, manifest)
        return best

    def damaged(self, key: str) -> bool:
        """Whether a run of that key is stored and none verifies."""
        candidates = self._candidates(key)
        return bool(candidates) and all(self._manifest(folder) is None for folder in candidates)

    def _candidates(self, key: str) -> list[Path]:
        try:
            return [Path(entry) for entry in os.scandir(self.folder / "runs" / key)]
        except OSError:
            return []

    def latest(self, slug: str, profile: str, seed: int, settings: dict[str, Any]) -> Run | None:
        """The last finished run of a chapter at a profile, seed and changed settings, whatever its code was then."""
        wanted = (slug, profile, seed, settings)
        matching = [(manifest["finished"], run) for run, manifest in self.peek() if _of(manifest) == wanted]
        for _, folder in sorted(matching, key=lambda pair: pair[0], reverse=True):
            manifest = self._manifest(folder)
            if manifest is not None:
                return Run(folder, manifest)
        return None

    def peek(self) -> list[tuple[Path, dict[str, Any]]]:
        """Every run folder with its manifest, unverified: enough to search by."""
        found = []
        for path in (self.folder / "runs").glob("*/*/" + MANIFEST):
            try:
                manifest = json.loads(path.read_bytes())
                _of(manifest), float(manifest["finished"])  # a manifest that lacks one of these is none
                found.append((path.parent, manifest))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found

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

    def sweep(self, key: str) -> None:
        """Remove what dead makers of `key` left; the caller holds the lock on it."""
        for left in (self.folder / "tmp").glob(f"{key}-*"):
            shutil.rmtree(left, ignore_errors=True)

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

    def commit(self, workspace: Path, key: str, record: dict[str, Any], seconds: float) -> Run:
        """Turn a workspace that holds the executed notebook into a stored run, in one rename.

        Raises:
            Unwritable: when the disk is full or the store cannot be written; nothing is left half done.
        """
        try:
            (workspace / RECORD).write_bytes(_canonical(record))
            files = {name: _digest((workspace / name).read_bytes()) for name in (NOTEBOOK, RECORD)}
            manifest = {
                "chapter": record["chapter"],
                "profile": record["fingerprint"]["parameters"]["profile"],
                "seed": record["fingerprint"]["parameters"]["seed"],
                "settings": record["fingerprint"]["parameters"].get("settings", {}),
                "finished": time.time(),
                "seconds": seconds,
                "files": files,
            }
            manifest["sha256"] = _digest(_canonical(manifest))
            (workspace / MANIFEST).write_bytes(_canonical(manifest))
            for name in (NOTEBOOK, RECORD, MANIFEST):
                with (workspace / name).open("rb") as handle:
                    os.fsync(handle.fileno())
            return Run(self._put(workspace, key), manifest)
        except OSError as error:
            shutil.rmtree(workspace, ignore_errors=True)
            raise self.unwritable(error) from error

    def _put(self, workspace: Path, key: str) -> Path:
        """Rename a workspace that holds a whole run into place; earlier runs of the key and its failure go."""
        older = self._candidates(key)
        target = self.folder / "runs" / key / uuid.uuid4().hex[:12]
        target.parent.mkdir(parents=True, exist_ok=True)
        workspace.rename(target)
        for folder in older:
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder / "failed" / key, ignore_errors=True)
        return target

    def adopt(self, key: str, archive: bytes) -> Run:
        """Take in a run that was made in another store (see `pack`), if it verifies.

        Raises:
            Unwritable: when the store cannot be written.
            PressError: when the archive holds no whole run.
        """
        workspace = self.workspace(key)
        try:
            unpack(archive, workspace)
            manifest = self._manifest(workspace)
            if manifest is None:
                raise PressError(f"the run {key} arrived damaged; run again")
            return Run(self._put(workspace, key), manifest)
        except OSError as error:
            raise self.unwritable(error) from error
        finally:
            shutil.rmtree(workspace, ignore_errors=True)

    def adopt_failure(self, key: str, failure: dict[str, Any], archive: bytes | None = None) -> None:
        """Keep what is known of a run that failed elsewhere; the archive holds its partial notebook, if there is one.

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
        self.fail(workspace, key, failure)

    def fail(self, workspace: Path, key: str, failure: dict[str, Any]) -> None:
        """Keep a failed run's partial notebook and what is known of the failure, in place of an earlier failure.

        Raises:
            Unwritable: when the store cannot be written.
        """
        target = self.folder / "failed" / key
        failure = {**failure, "finished": time.time()}
        try:
            (workspace / "failure.json").write_bytes(_canonical(failure))
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(workspace.with_name(workspace.name + "-old"))
            workspace.rename(target)
        except OSError as error:
            raise self.unwritable(error) from error
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
            shutil.rmtree(workspace.with_name(workspace.name + "-old"), ignore_errors=True)

    def failure(self, key: str) -> dict[str, Any] | None:
        """What is known of the last failure of that key, if no run has succeeded since."""
        try:
            failure = json.loads((self.folder / "failed" / key / "failure.json").read_bytes())
        except (OSError, ValueError):
            return None
        return failure if isinstance(failure, dict) and isinstance(failure.get("message"), str) else None

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
