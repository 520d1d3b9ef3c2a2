"""Asked of every worker before work is sent: is it the same as we are?

`probe` is sent by value, for the worker may lack this library: it and what it calls use nothing of `kexue`.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Any

import cloudpickle
from distributed import Client

IMPORTED = ("torch", "numpy", "scipy", "papermill", "kexue.press.execution.process")
ANSWERS_WITHIN = (
    90.0  # seconds a worker gets to try its imports; those of torch take long on a cold file server
)


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


def unlike(client: Client, addresses: list[str], within: float) -> dict[str, str]:
    """The workers that cannot make our runs, by address, each with what is wrong and how to mend it.

    Args:
        client: of the cluster.
        addresses: the workers to ask, all at once.
        within: seconds; one that has not answered by then is among them.
    """
    found = _ask(client, addresses, within)
    ours = identity()
    silent = TimeoutError(f"it has not answered for {within:g} s")
    return {address: why for address in addresses if (why := _difference(ours, found.get(address, silent)))}


def _ask(client: Client, addresses: list[str], within: float) -> dict[str, Any]:
    """What each worker answers to the probe. Each is asked by itself: one that hangs keeps no other waiting."""
    answers: queue.Queue[tuple[str, Any]] = queue.Queue()

    def ask(address: str) -> None:
        try:
            answers.put((address, client.run(probe, workers=[address], on_error="return")[address]))
        except Exception as error:  # the worker or the scheduler went meanwhile
            answers.put((address, error))

    found: dict[str, Any] = {}
    ourselves = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(ourselves)
    try:
        for address in addresses:
            threading.Thread(target=ask, args=(address,), daemon=True).start()
        deadline = time.monotonic() + within
        while len(found) < len(addresses):
            address, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            found[address] = answer
    except queue.Empty:
        pass
    finally:
        cloudpickle.unregister_pickle_by_value(ourselves)
    return found


def _difference(ours: dict[str, Any], theirs: Any) -> str:
    if isinstance(theirs, BaseException):
        return f"it cannot be asked for its versions ({theirs})"
    different = [
        f"its {name} is {theirs.get(name)}, here {ours[name]}"
        for name in ours
        if theirs.get(name) != ours[name]
    ]
    how = "the same commit, with ci/constraints.txt"
    if different:
        return f"{'; '.join(different)}. Install there what is installed here: {how}"
    if theirs["broken"]:
        why = theirs["broken"]
        return f"it cannot import what a run needs: {why}. Install kexue there again, with ci/constraints.txt"
    return ""
