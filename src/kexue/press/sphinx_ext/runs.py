"""What runs have recorded of themselves, as the pages say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kexue.press.sphinx_ext.i18n import both
from kexue.press.sphinx_ext.staged import Chapter, Run, SlowCell

# By a chapter's state: a title, and what it means for a reader.
BANNERS = {
    "stale": (
        "Measured with older code",
        "The numbers on this page come from a run of an earlier version of its code.",
    ),
    "failed": ("The last run failed", "What this page shows is what was measured before, or nothing."),
    "never run": (
        "Not measured yet",
        "This chapter has no stored run: its claims are untested, its figures are not drawn.",
    ),
}
_FEWER = (
    "Some runs are missing",
    "The numbers on this page are of the present code, from fewer seeds.",
)
_DIFFERS = (
    "Differs from the record",
    "A verdict on this page is not the one recorded in the repository.",
)


def banners(chapter: Chapter) -> list[tuple[tuple[str, str], list[str]]]:
    """What a reader must know before trusting a chapter's numbers: title and text, with the reasons."""
    found = []
    if chapter["state"] in BANNERS:
        older = any(row.get("stale") for row in chapter["claims"])
        fewer = chapter["state"] == "stale" and chapter["runs"] and not older
        found.append((_FEWER if fewer else BANNERS[chapter["state"]], chapter["reasons"]))
    if chapter["differences"]:
        found.append((_DIFFERS, chapter["differences"]))
    return found


@dataclass(frozen=True)
class Batch:
    """Runs of one chapter at one profile, and where they are kept."""

    chapter: Chapter
    profile: str
    runs: Sequence[Run]
    kept: str

    @property
    def seconds(self) -> list[float]:
        """How long each took that recorded it."""
        return [seconds for run in self.runs if (seconds := run.get("seconds"))]


def batches(chapters: Iterable[Chapter]) -> Iterator[Batch]:
    """Every set of runs there is word of."""
    for chapter in chapters:
        if chapter["runs"]:
            yield Batch(chapter, chapter["profile"], chapter["runs"], "this site")
        for profile, record in chapter["frozen"].items():
            if record["provenance"] and profile != chapter["profile"]:
                yield Batch(chapter, profile, record["provenance"], "on record")


def every_run(chapters: Iterable[Chapter]) -> list[tuple[Batch, Run]]:
    """Every single run of them."""
    return [(batch, run) for batch in batches(chapters) for run in batch.runs]


def slowest(chapters: Iterable[Chapter]) -> list[tuple[Chapter, SlowCell]]:
    """The cells that took longest, with their chapters."""
    return [(chapter, cell) for chapter in chapters for cell in chapter["slowest"]]


def device_of(run: Run) -> str:
    """The device class of a run, with the GPU's name where it used one."""
    device, gpu = str(run.get("device", "")), run.get("host", {}).get("gpu")
    return f"{device} ({gpu})" if gpu and device.startswith("cuda") else device


def machine_of(run: Run) -> str:
    """The processor of a run and how many cores it has."""
    host = run.get("host", {})
    cores = f"{host['cores']} cores" if host.get("cores") else ""
    return ", ".join(filter(None, [str(host.get("cpu") or ""), cores]))


def commit_of(run: Run) -> Markup:
    """The commit of a run, and whether its sources had been changed since."""
    commit = Markup.escape(str(run.get("commit") or "")[:12])
    return commit + both(" with uncommitted changes") if commit and run.get("dirty") else commit


def versions(run: Run) -> str:
    """The versions of what a run used."""
    return ", ".join(f"{name} {number}" for name, number in run.get("versions", {}).items())


def duration(seconds: float) -> str:
    """Seconds, or minutes where there are many of them."""
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def durations(runs: Sequence[Run]) -> Markup | str:
    """How long the runs took in all, and each of them; "" where none has recorded it."""
    seconds = [found for run in runs if (found := run.get("seconds")) is not None]
    if len(seconds) < 2:
        return both("{seconds} s", seconds=f"{seconds[0]:.1f}") if seconds else ""
    total, low, high = (f"{value:.1f}" for value in (sum(seconds), min(seconds), max(seconds)))
    return both("{total} s in all ({low} to {high} s a run)", total=total, low=low, high=high)


def peak_memory(runs: Sequence[Run]) -> Markup:
    """The most memory that any of the runs took, and on the GPU."""
    main = max((run.get("peak_rss_mb") or 0 for run in runs), default=0)
    gpu = max((run.get("peak_gpu_mb") or 0 for run in runs), default=0)
    parts = [f"{main:.0f} MB"] if main else []
    return Markup(", ").join([*parts, *([both("{mb} MB on the GPU", mb=f"{gpu:.0f}")] if gpu else [])])
