"""JSON files that carry their own digest, and are checked when they are read: what is on record is what was written, or told."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from pydantic import ValidationError

from kexue.press.project import PressError

LIMIT_MB = 16  # the largest record today has 0.1
DIGEST = "sha256"
Content = TypeVar("Content")


def sealed(data: Mapping[str, Any], *, sort_keys: bool = False) -> str:
    """The data as JSON, with the digest of its content.

    Raises:
        ValueError: for NaN or infinity.
    """
    whole = {**data, DIGEST: _digest(_canonical(data))}
    return json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=sort_keys) + "\n"


def read_sealed(root: Path, name: Path, check: Callable[..., Content], remedy: str) -> Content:
    """The content of a sealed file.

    Args:
        root, name: the file, by its name in the book's folder.
        check: what validates its JSON (`pydantic.TypeAdapter.validate_json`).
        remedy: what to do if it does not, for the error.

    Raises:
        PressError: naming the file, what is wrong with it, and the remedy.
    """
    try:
        data = json.loads(_text(root / name), parse_constant=_no_number)
        if not isinstance(data, dict):
            raise ValueError(f"must hold an object, got {type(data).__name__}")
        own = data.pop(DIGEST, None)
        content = _canonical(data)
        if own != _digest(content):
            what = "does not match its own digest" if isinstance(own, str) else "has no digest of its own"
            raise ValueError(f"{what}: it is damaged, or was changed by hand")
        check(content, strict=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        raise PressError(f"{name}: {where}: {wrong['msg'].lower()}; {remedy}") from error
    except RecursionError as error:
        raise PressError(f"{name}: nested too deeply; {remedy}") from error
    except OSError as error:
        raise PressError(f"{name}: {error.strerror or error}; {remedy}") from error
    except ValueError as error:  # not JSON, not UTF-8, a number of thousands of digits
        raise PressError(f"{name}: {error!s:.200}; {remedy}") from error
    return cast(Content, data)


def _text(path: Path) -> str:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("is a folder, not a file" if path.is_dir() else "is no file")
    if found.st_size > LIMIT_MB * 2**20:
        raise ValueError(f"has {found.st_size / 2**20:.0f} MB, a record at most {LIMIT_MB}")
    return path.read_text(encoding="utf-8")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _canonical(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
