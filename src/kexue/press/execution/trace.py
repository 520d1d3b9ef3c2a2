"""What a run really loaded and used, said by its own kernel after the chapter's last cell."""

from __future__ import annotations

import math
import resource
import sys
from dataclasses import asdict, dataclass
from typing import Any

from kexue.press.project import LIBRARY, decides_nothing

TRACE_MIME = "application/vnd.kexue.trace+json"


@dataclass(frozen=True)
class Trace:
    """What a run loaded and used.

    Args:
        library: the folder of the library it ran.
        modules: the modules of the library that are loaded.
        data: digests of the data sets read, by name.
        cpu_seconds: CPU time of the kernel and of what it waited for.
        gpu: the GPU that was used, or None.
        peak_gpu_bytes: the most memory torch had allocated there.
    """

    library: str
    modules: tuple[str, ...]
    data: dict[str, str]
    cpu_seconds: float
    gpu: str | None
    peak_gpu_bytes: int

    def record(self) -> dict[str, Any]:
        """The trace as plain data, ready for JSON."""
        return {**asdict(self), "modules": list(self.modules)}

    @classmethod
    def from_record(cls, record: Any) -> Trace:
        """The trace that `record` was made from.

        Raises:
            ValueError: when it is none.
        """
        try:
            made = cls(
                **{**record, "modules": tuple(map(str, record["modules"])), "data": dict(record["data"])}
            )
            if not (math.isfinite(made.cpu_seconds) and math.isfinite(made.peak_gpu_bytes)):
                raise ValueError
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"a trace must hold {', '.join(cls.__annotations__)}; got {record!r:.80}"
            ) from error
        return made


def trace() -> Trace:
    """What this process has loaded and used so far."""
    reader = sys.modules.get("kexue.data.reader")
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return Trace(
        library=str(LIBRARY),
        modules=tuple(
            sorted(
                name for name in sys.modules if name.split(".")[0] == "kexue" and not decides_nothing(name)
            )
        ),
        data=reader.digests_read() if reader is not None else {},
        cpu_seconds=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        gpu=torch.cuda.get_device_name() if torch is not None and used else None,
        peak_gpu_bytes=torch.cuda.max_memory_allocated() if torch is not None and used else 0,
    )


def emit() -> None:
    """Show the trace as an output of its own media type."""
    from IPython.display import display

    display({TRACE_MIME: trace().record()}, raw=True)
