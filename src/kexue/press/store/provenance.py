"""Where a run's numbers come from: by which code, when, on what machine, at what cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Host:
    """The machine of a run.

    Args:
        cpu: its processor.
        cores: how many cores.
        memory_gb: its memory, in GiB.
        gpu: the GPU that was used, or None.
        system: such as "Linux x86_64".
    """

    cpu: str
    cores: int | None
    memory_gb: int
    gpu: str | None
    system: str


@dataclass(frozen=True)
class Provenance:
    """Where a run's numbers come from.

    Args:
        key: of the run's fingerprint.
        profile, seed, parameters, device: what was run.
        started: when, in ISO 8601 with its zone.
        seconds: wall time.
        cpu_seconds: CPU time of the kernel and of what it waited for.
        peak_rss_mb: the most memory the kernel and what it started held at one time, in MiB; what several share counts once.
        peak_gpu_mb: the most memory torch had allocated on the GPU, in MiB.
        threads: of torch, BLAS and OpenMP.
        versions: of Python and the distributions that decide numbers.
        data_read: digests of the data sets read, by name.
        host: the machine.
        cell_seconds: wall time of each code cell.
        commit: of the book; None where its folder is no repository.
        dirty: whether the sources differed from it.
    """

    key: str
    profile: str
    seed: int
    parameters: dict[str, Any]
    device: str
    started: str
    seconds: float
    cpu_seconds: float
    peak_rss_mb: int
    peak_gpu_mb: int
    threads: int
    versions: dict[str, str]
    data_read: dict[str, str]
    host: Host
    cell_seconds: tuple[float, ...]
    commit: str | None
    dirty: bool

    def record(self) -> dict[str, Any]:
        """The provenance as plain data, ready for JSON."""
        return {**asdict(self), "cell_seconds": list(self.cell_seconds)}
