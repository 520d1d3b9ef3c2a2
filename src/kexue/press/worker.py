"""The process of one run: `python -m kexue.press.worker`, its order on standard input, its events on standard output.

It ends with its caller: when standard input closes, or on SIGTERM, the kernel is killed and the process ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

TERMINATED = 143


def main() -> int:
    """Make the run that the first line of standard input orders; exit code 0 only when it is stored."""
    order = json.loads(sys.stdin.readline())
    # From here on, whatever this process and its kernel print goes to the log; events keep the pipe to themselves.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(order["log"], "wb", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)

    def tell(event: str, **facts: Any) -> None:
        events.write(json.dumps({"event": event, **facts}) + "\n")
        events.flush()

    from filelock import Timeout

    from kexue.press.catalogue import select
    from kexue.press.engine import Watch
    from kexue.press.evidence import RunFailed
    from kexue.press.make import make
    from kexue.press.plan import unit
    from kexue.press.root import PressError
    from kexue.press.store import Store

    watch = Watch(lambda pid: tell("kernel", pid=pid))

    def end(*_: object) -> None:
        watch.kill("ended")
        os._exit(TERMINATED)

    def end_with_caller() -> None:
        sys.stdin.read()
        end()

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=end_with_caller, daemon=True).start()

    store = Store(Path(order["store"]))
    try:
        (chapter,) = select(Path(order["root"]), [order["chapter"]])
        work = unit(store, chapter, profile=order["profile"], seed=order["seed"], device=order["device"])
        if work.key != order["key"]:
            raise PressError(f"{work.name}: the code changed after the run was planned; run again")
        lock = store.lock(work.key)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            tell("waiting")
            lock.acquire()
        run = None if order["force"] else store.get(work.key)
        if run is None:
            run = make(
                work,
                store,
                threads=order["threads"],
                on_cell=lambda i, n: tell("cell", index=i, of=n),
                watch=watch,
            )
        else:
            tell("reused")
        tell("done", seconds=run.seconds)
        return 0
    except (RunFailed, PressError, OSError) as error:
        tell("failed", message=str(error))
    return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
