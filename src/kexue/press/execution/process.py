"""The process of one run: `python -m kexue.press.execution.process`, its order on standard input, its events on standard output.

It loads what it needs before it reads the order, so that a process that is started early has less to do later.

It ends with its caller: when standard input closes, or on SIGTERM, the kernel is killed and the process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from kexue.press.execution.order import Order

TERMINATED = 143


def _load() -> None:
    """Load what a run needs."""
    # jsonschema compiles a grammar of web addresses when it is imported, one second that no notebook needs.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import_module("kexue.press.execution.run")
    from kexue.press.store.fingerprint import closure

    closure(())  # reads which module imports which


def main() -> int:
    """Make the run that the first line of standard input orders; exit code 0 only when it is stored."""
    warnings.resetwarnings()  # PYTHONWARNINGS is for the user's own code: as errors they would end the run
    # Whatever this process and its kernel print goes to the log; events keep the pipe to themselves.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(Exception):  # told below, where there is a log to tell it in
        _load()
    line = sys.stdin.readline()
    if not line:  # not needed after all
        return 0
    order = Order.from_line(line)
    with open(order.log, "wb", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)

    def tell(event: str, **facts: Any) -> None:
        events.write(json.dumps({"event": event, **facts}) + "\n")
        events.flush()

    _load()
    from kexue.press.execution import descendants
    from kexue.press.execution.failures import RunFailed
    from kexue.press.execution.monitor import EndedBy, Watch
    from kexue.press.execution.run import make
    from kexue.press.project import PressError, SourceState
    from kexue.press.sources.chapter import Chapter
    from kexue.press.store.fingerprint import Fingerprint, differences
    from kexue.press.store.plan import unit
    from kexue.press.store.store import Store, Unwritable

    descendants.adopt()
    watch = Watch(lambda pid: tell("kernel", pid=pid), memory_limit=order.memory_limit)

    def end(*_: object) -> None:
        watch.kill(EndedBy.CALLER)
        os._exit(TERMINATED)

    def end_with_caller() -> None:
        sys.stdin.read()
        end()

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=end_with_caller, daemon=True).start()

    root = Path(order.root)
    store = Store(Path(order.store))
    try:
        chapter = Chapter(root, root / order.path)
        work = unit(
            store,
            chapter,
            profile=order.profile,
            seed=order.seed,
            device=order.device,
            settings=order.settings,
        )
        ordered = Fingerprint.from_record(order.fingerprint)
        if work.key != ordered.key:
            tell("refused", message="; ".join(differences(chapter, ordered, work.fingerprint)))
            return 1
        run = make(
            work,
            store,
            threads=order.threads,
            origin=SourceState(**order.origin),
            on_cell=lambda i, n: tell("cell", index=i, of=n),
            watch=watch,
        )
        tell("done", seconds=run.seconds)
        return 0
    except Unwritable as error:
        tell("refused", message=str(error))
    except (RunFailed, PressError, OSError) as error:
        tell("failed", message=str(error))
    return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
