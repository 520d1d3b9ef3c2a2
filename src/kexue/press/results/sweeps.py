"""What runs with changed settings measured, collected: one row a claim and combination of values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from kexue.press.results.pooled import PooledRow, rows
from kexue.press.sources.chapter import Chapter
from kexue.press.store.plan import device_class, unit
from kexue.press.store.store import Store


class SweepRow(PooledRow):
    """A claim of runs with changed settings."""

    settings: dict[str, Any]  # the changed entries


def points(store: Store, chapters: Iterable[Chapter], profile: str, device: str) -> list[SweepRow]:
    """The measured claims of the runs of the present code whose settings were changed, pooled over their seeds.

    Args:
        store: where results lie.
        chapters: the chapters.
        profile: "smoke", "quick" or "full".
        device: "auto", "cpu" or "cuda".

    Returns:
        One row a claim and combination.
    """
    manifests = [manifest for _, manifest in store.peek()]
    found: list[SweepRow] = []
    for chapter in chapters:
        if profile not in chapter.profiles:
            continue
        seeds: dict[str, set[int]] = {}
        for manifest in manifests:
            if (manifest.chapter, manifest.profile) == (chapter.slug, profile) and manifest.settings:
                seeds.setdefault(json.dumps(manifest.settings, sort_keys=True), set()).add(manifest.seed)
        where = device_class(chapter, profile, device)
        for text in sorted(seeds):
            settings = json.loads(text)
            units = [
                unit(store, chapter, profile=profile, seed=seed, device=where, settings=settings)
                for seed in sorted(seeds[text])
            ]
            fresh = [entry for entry in units if entry.run is not None]
            found += [{**row, "settings": settings} for row in rows(chapter, fresh, profile) if row["n"]]
    return found
