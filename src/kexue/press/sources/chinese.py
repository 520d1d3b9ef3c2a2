"""What a chapter's claims say in Chinese: `book/zh/<slug>.yml`, out of the notebook; no run depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kexue.claims import Claim
from kexue.press.project import PressError, read_yaml


def read_statements(path: Path, claims: Sequence[Claim]) -> dict[str, str]:
    """The translated statements by claim; empty where there is no such file.

    Args:
        path: a YAML file with a mapping `claims` from id to text.
        claims: the claims of the chapter.

    Raises:
        PressError: naming the file, and the claim that the chapter does not declare.
    """
    if not path.is_file():
        return {}
    texts = read_yaml(path).get("claims")
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise PressError(f"{path}: must hold a mapping `claims` from a claim's id to its text in Chinese")
    unknown = sorted(map(str, texts.keys() - {claim.id for claim in claims}))
    if unknown:
        raise PressError(f"{path} translates {', '.join(unknown)}, which the chapter does not declare")
    return texts
