"""The book as a project: its folder, the commit of its sources, its public addresses, this machine, what can go wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import kexue

LIBRARY = Path(kexue.__file__).resolve().parents[1]  # the folder that holds the package
_AROUND = ("kexue.press", "kexue.cli", "kexue.claims")
REPOSITORY, BASE_URL = "KEXUE_REPOSITORY", "KEXUE_BASE_URL"


class PressError(RuntimeError):
    """Something the press cannot do; the message names what came and what is wanted."""


def outside(error: OSError) -> PressError:
    """What the system refused, in one sentence: which file, why, what to do."""
    where = error.filename2 or error.filename
    why = error.strerror or str(error) or type(error).__name__
    hint = _HINTS.get(error.errno or 0, "")
    return PressError(f"{f'{where}: ' if where else ''}{why[:1].lower()}{why[1:]}{hint and f'; {hint}'}")


_HINTS = {
    errno.EACCES: "it belongs to somebody else or may not be written: change its mode, or work in a copy of your own",
    errno.EROFS: "work in a copy on a disk that can be written",
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room on that disk",
    errno.EADDRINUSE: "another program has that port; name another with --port",
    errno.EMFILE: "raise the limit of open files: ulimit -n 1024",
    errno.ENOMEM: "less memory is free than is needed",
    errno.EISDIR: "a file belongs there, and a folder is in its place",
    errno.ENOTDIR: "a folder belongs there, and a file is in its place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "it is a link that leads to itself",
}


def read_text(path: Path) -> str:
    """The text of a file of the book, without the mark that some editors put before it.

    Raises:
        PressError: naming the file, when it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PressError(f"{path}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise outside(error) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping out of a YAML file; an empty file holds an empty one.

    Raises:
        PressError: naming file and line, when it is no YAML or no mapping.
    """
    import yaml

    try:
        found = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PressError(f"{path} is no YAML: {yaml_problem(error)}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise PressError(f"{path}: must hold a mapping, got {found!r:.60}")
    return found


def yaml_problem(error: Exception, first: int = 1) -> str:
    """What is wrong with a YAML text and in which line; `first` is the line of the file its first line stands on."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error) or type(error).__name__
    return f"line {mark.line + first}: {what}" if mark is not None else what.splitlines()[0]


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: whoever reads it finds the old one or the new one.

    Raises:
        PressError: naming the file, when it cannot be written.
    """
    made = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.chmod(made, 0o666 & ~_umask())
        os.replace(made, path)
    except OSError as error:
        if made:
            Path(made).unlink(missing_ok=True)
        hint = _HINTS.get(error.errno or 0, "")
        why = f"{error.strerror or error}{hint and f'; {hint}'}"
        raise PressError(f"{path} cannot be written: {why}") from error


def _umask() -> int:
    os.umask(now := os.umask(0o022))
    return now


def find_root(start: Path | None = None) -> Path:
    """The book's folder: the nearest one at or above `start` (default: here) with `_toc.yml` and `book/`.

    Raises:
        PressError: when there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "book").is_dir():
            return folder
    raise PressError(
        f"no book at or above {here}: a book has _toc.yml and book/; run kexue inside a clone of it"
    )


def store_folder(root: Path) -> Path:
    """Where runs are kept: `KEXUE_STORE`, or `.kexue/` in the book's folder."""
    return Path(os.environ.get("KEXUE_STORE") or root / ".kexue").resolve()


def decides_nothing(module: str) -> bool:
    """Whether no number of a run depends on a module: of the press and the command line, which run chapters and are part
    of none, and of the claims, by which the numbers are judged anew whenever they are shown.
    """
    return any(module == name or module.startswith(name + ".") for name in _AROUND)


def signal_name(number: int) -> str:
    """The name of a signal, or its number where it has none (a real-time signal)."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def cpu_name() -> str:
    """The processor by name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(root: Path, *arguments: str) -> str | None:
    """What git says of the book's own repository; None without git, without one, or inside somebody else's."""
    try:
        top, said = (
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for words in (("rev-parse", "--show-toplevel"), arguments)
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said if Path(top).resolve() == root.resolve() else None


@dataclass(frozen=True)
class SourceState:
    """Of which commit the book's sources are.

    Args:
        commit: the commit, or None where the book's folder is no repository of its own.
        dirty: whether `src` or `book` differ from it.
    """

    commit: str | None
    dirty: bool


def source_state(root: Path) -> SourceState:
    """The commit of the book's folder, and whether its sources differ from it."""
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "src", "book") if commit else None
    return SourceState(commit, bool(changes))


def head(root: Path) -> str:
    """The book's present commit, or "" where its folder is no repository of its own."""
    return _git(root, "rev-parse", "HEAD") or ""


@dataclass(frozen=True)
class Addresses:
    """The book's public addresses; "" for what it does not have.

    Args:
        repository: where its repository is, such as "https://github.com/someone/kexue".
        site: the address of the site's root, ending in a slash.
        commit: the commit at hand, for links into the repository.
    """

    repository: str
    site: str
    commit: str


def addresses(root: Path) -> Addresses:
    """The addresses in the environment, else those in `_config.yml`: a workflow knows where it runs, in a fork, too."""
    path = root / "_config.yml"
    config = read_yaml(path)
    for section in ("repository", "html"):
        if not isinstance(config.get(section) or {}, dict):
            raise PressError(f"{path}: `{section}` must be a mapping, got {config[section]!r:.60}")
    repository = os.environ.get(REPOSITORY) or (config.get("repository") or {}).get("url") or ""
    site = os.environ.get(BASE_URL) or (config.get("html") or {}).get("baseurl") or ""
    return Addresses(
        repository=str(repository).rstrip("/"),
        site=f"{str(site).rstrip('/')}/" if site else "",
        commit=head(root) if repository else "",
    )
