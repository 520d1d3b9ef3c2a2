"""Asked of every worker before work is sent: is it the same as we are? Sent by value: the worker may lack this library.

Nothing of `kexue` may be imported here.
"""

from __future__ import annotations

from typing import Any

IMPORTED = ("torch", "numpy", "scipy", "papermill", "kexue.press.execution.process")


async def probe(dask_worker: Any) -> dict[str, Any]:
    """Versions of Python and of what decides numbers, a digest of the library, and what cannot be imported.

    A worker that could import everything is not made to try it again until something changes.
    """
    import asyncio
    import sys

    found = identity()
    if getattr(dask_worker, "kexue_found_sound", None) == found:
        return {**found, "broken": None}
    # Without the grammar of web addresses that jsonschema would compile, as in `kexue.press.execution.process`.
    imports = "import sys\nsys.modules['rfc3987_syntax'] = None\n" + "".join(
        f"import {name}\n" for name in IMPORTED
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        imports,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    last = err.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
    if process.returncode == 0:
        dask_worker.kexue_found_sound = found
    return {**found, "broken": last[0] if process.returncode else None}


def identity() -> dict[str, Any]:
    """What two machines must have in common to make the same run."""
    import hashlib
    import platform
    from importlib import metadata, util
    from pathlib import Path

    found: dict[str, Any] = {"Python": platform.python_version()}
    for name in ("torch", "numpy", "scipy", "pandas"):
        try:
            found[name] = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    library = util.find_spec("kexue")
    if library is None or library.origin is None:
        return {**found, "kexue": "absent"}
    folder = Path(library.origin).parent
    hasher = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        hasher.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    version = metadata.version("kexue")
    return {**found, "kexue": f"{version} ({hasher.hexdigest()[:12]})"}
