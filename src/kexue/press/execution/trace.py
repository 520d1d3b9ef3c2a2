"""What a run really loaded and used, said by its own kernel after the chapter's last cell."""

from __future__ import annotations

import resource
import sys
from typing import Any

from kexue.press.project import LIBRARY, decides_nothing

TRACE_MIME = "application/vnd.kexue.trace+json"
TRACE_TAG = "kexue-trace"
TRACE_CELL = "import kexue.press.execution.trace as _kexue_trace\n_kexue_trace.emit()"


def trace() -> dict[str, Any]:
    """The modules of this library that are loaded, the data read, CPU seconds, peak memory, the GPU used."""
    modules = sorted(
        name for name in sys.modules if name.split(".")[0] == "kexue" and not decides_nothing(name)
    )
    reader = sys.modules.get("kexue.data.reader")
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found: dict[str, Any] = {
        "modules": modules,
        "library": str(LIBRARY),
        "data": reader.digests_read() if reader is not None else {},
        "cpu_seconds": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "gpu": None,
        "peak_gpu_bytes": 0,
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        found["gpu"] = torch.cuda.get_device_name()
        found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    return found


def emit() -> None:
    """Show the trace as an output of its own media type."""
    from IPython.display import display

    display({TRACE_MIME: trace()}, raw=True)
