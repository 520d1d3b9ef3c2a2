"""What this machine can run."""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from kexue.data import locate, registry
from kexue.press.project import PressError
from kexue.press.sources.chapter import Chapter
from kexue.press.store.store import Store

_MINIMUM_DISK_GB = 2.0
_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
)


def _entry(what: str, ok: bool, found: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "found": found}


def examine(root: Path, chapters: Iterable[Chapter], store: Store) -> list[dict[str, Any]]:
    """Look at Python, memory, torch, GPUs, the data sets, the disk, the store and the fonts.

    Returns:
        One mapping a finding: `what`, `ok` (whether nothing stands in the way), `found` (what and, if not ok, what to do).
    """
    version = platform.python_version_tuple()
    supported = (3, 11) <= (int(version[0]), int(version[1])) <= (3, 13)
    memory = psutil.virtual_memory().total / 2**30
    report = [
        _entry(
            "Python",
            supported,
            platform.python_version() + ("" if supported else "; 3.11 to 3.13 are supported"),
        ),
        _entry("processor", True, f"{psutil.cpu_count()} cores, {memory:.0f} GiB of memory"),
        *_torch(),
        *_data(chapters),
    ]
    free = shutil.disk_usage(root).free / 2**30
    report.append(_entry("disk", free >= _MINIMUM_DISK_GB, f"{free:.1f} GiB free at {root}"))
    try:
        store.check_writable()
        report.append(_entry("store", True, str(store.folder)))
    except PressError as error:
        report.append(_entry("store", False, str(error)))
    report.append(_fonts())
    return report


def _torch() -> list[dict[str, Any]]:
    try:
        import torch
    except ImportError as error:
        return [_entry("torch", False, f"cannot be imported ({error}); run make setup")]
    found = [_entry("torch", True, str(torch.__version__))]
    if not torch.cuda.is_available():
        return [*found, _entry("GPU", True, "none; --profile full wants one, smoke and quick do not")]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(
            _entry(f"GPU {index}", True, f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
        )
    return found


def _data(chapters: Iterable[Chapter]) -> list[dict[str, Any]]:
    wanted: dict[str, list[str]] = {}
    for chapter in chapters:
        for name in chapter.data:
            wanted.setdefault(name, []).append(chapter.slug)
    found = []
    for name, entry in registry().items():
        here = all(path is not None for path in locate(name))
        users = f" ({', '.join(wanted[name])})" if name in wanted else ""
        needed = name in wanted and not here
        where = "present" if here else f"absent; from {entry.source}, or set KEXUE_DATA"
        found.append(_entry(f"data {name}", not needed, f"{where}, {entry.size / 1e6:.1f} MB{users}"))
    return found


def _fonts() -> dict[str, Any]:
    from matplotlib import font_manager

    listed = font_manager.fontManager.ttflist
    names = {font.name for font in listed}
    # Matplotlib's list is a cache: a font installed since is on the disk, and not in it.
    for path in set(font_manager.findSystemFonts()) - {font.fname for font in listed}:
        with contextlib.suppress(Exception):  # one broken font file says nothing of the others
            names.add(font_manager.get_font(path).family_name)
    chinese = next((name for name in _CHINESE_FONTS if name in names), None)
    if chinese:
        return _entry("fonts", True, f"{len(names)} families; Chinese: {chinese}")
    return _entry(
        "fonts",
        True,
        f"{len(names)} families, none Chinese: figures use English only; pages use the reader's fonts",
    )
