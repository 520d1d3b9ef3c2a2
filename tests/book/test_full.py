"""What only the `full` profile runs, at the sizes of `smoke`: a leased GPU is no place to find a slip of the pen."""

import os

import pytest

from kexue.press.sources.catalogue import catalogue
from kexue.press.sources.chapter import Chapter
from tests.book.chapters import ROOT, measurements


def _is_larger(chapter: Chapter) -> bool:
    """A chapter with cells, or trainings kept in a file, that only its full profile has."""
    code = "\n".join(cell.source for cell in chapter.code_cells)
    return 'profile == "full"' in code or '"minutes"' in code


@pytest.mark.skipif("KEXUE_DATA" not in os.environ, reason="needs the folder KEXUE_DATA: no test downloads")
@pytest.mark.parametrize(
    "chapter", [c for c in catalogue(ROOT) if _is_larger(c)], ids=lambda chapter: chapter.slug
)
def test_full_at_the_sizes_of_smoke(chapter: Chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("KEXUE_CHECKPOINTS", str(tmp_path))
    measured = measurements(chapter.slug, profile="full", seed=0, sizes="smoke")
    of_full = {claim.id for claim in chapter.claims if claim.scale == "full"}
    assert of_full <= set(measured)
    if any('"minutes"' in cell.source for cell in chapter.code_cells):
        assert list(tmp_path.glob("*.pt")), "no training was kept"
