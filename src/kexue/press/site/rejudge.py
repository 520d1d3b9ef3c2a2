"""The claims in a stored notebook as the chapter's text has them now: said and judged anew, from what the run measured."""

from __future__ import annotations

from typing import Any

from kexue.claims import Measurement, pool
from kexue.claims.display import CLAIMS_MIME, MEASUREMENT_MIME, VERDICTS_MIME, rendered
from kexue.claims.ledger import row
from kexue.press.sources.chapter import CLAIMS_TAG, Chapter


def judge_anew(notebook: dict[str, Any], chapter: Chapter, profile: str) -> None:
    """Put the present claims, and the verdicts that follow, in the place of those of the day of the run.

    Args:
        notebook: an executed notebook of the chapter's present code, as plain data; changed in place.
        chapter: the chapter.
        profile: the profile of the run.
    """
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    shown = [output["data"] for output in outputs if "data" in output]
    measured = [
        Measurement.from_record(data[MEASUREMENT_MIME]["measurement"])
        for data in shown
        if MEASUREMENT_MIME in data
    ]
    claims = chapter.claims
    declared = [row(claim, pool(claim, []), profile) for claim in claims]
    judged = [row(claim, pool(claim, [m for m in measured if m.id == claim.id]), profile) for claim in claims]
    for data in shown:
        if CLAIMS_MIME in data:
            data.update(rendered(declared))
        if VERDICTS_MIME in data:
            data.update(rendered(judged))
        if MEASUREMENT_MIME in data:
            name = data[MEASUREMENT_MIME]["measurement"]["id"]
            data.update(rendered([one for one in judged if one["id"] == name]))
    (text,) = [cell.source for cell in chapter.code_cells if CLAIMS_TAG in cell.tags]
    for cell in notebook["cells"]:
        if CLAIMS_TAG in cell["metadata"].get("tags", ()):
            cell["source"] = text
