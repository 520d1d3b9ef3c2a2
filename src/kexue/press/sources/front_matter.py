"""The `kexue` mapping at the head of a chapter, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from kexue.claims import PROFILES
from kexue.press.project import PressError, yaml_problem

MOST_SEEDS = 10_000  # replicates a profile may take; more is a slip of the pen
NEEDS = ("gpus", "gpu_memory_gb", "memory_gb")
LIMITS = {"cell": 600.0, "chapter": 3600.0}  # seconds, where a chapter says nothing
_HEAD = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TEXTS = ("title", "title_zh", "summary", "key_figure", "finding", "finding_zh")
_FIELDS = (*_TEXTS, "article", "paper", "profiles", "data", "limits")
_SOURCE = ("title", "date", "url", "authors", "venue", "read")


@dataclass(frozen=True)
class FrontMatter:
    """What a chapter says of itself.

    Args:
        title, title_zh: its short titles.
        article: title, date, url of the article.
        papers: the papers behind it, each with at least a title.
        summary: one sentence for the chapter's card.
        key_figure: the label of the figure that carries the result.
        profiles: by name how many `seeds` it takes, and what a run needs or may take.
        data: the registered data sets the chapter reads.
        limits: seconds that a "cell" and the whole "chapter" may take.
    """

    title: str
    title_zh: str
    article: dict[str, str]
    papers: tuple[dict[str, str], ...]
    summary: str
    key_figure: str | None
    profiles: dict[str, dict[str, Any]]
    data: tuple[str, ...]
    limits: dict[str, float]


def is_meant_for_a_chapter(text: str) -> bool:
    """Whether a page is a chapter, or was meant for one: reading it then says what keeps it from being one."""
    tagged = re.search(r"^:?tags: \[.*\bclaims\b", text, re.MULTILINE)
    return bool(re.search(r"^kexue:", text, re.MULTILINE) or tagged)


def read_front_matter(path: Path, text: str) -> FrontMatter:
    """The front matter of a chapter.

    Args:
        path: the chapter, for messages.
        text: its whole text.

    Raises:
        PressError: naming file, line and field, what came and what is wanted.
    """
    head = _HEAD.match(text)
    try:
        tree = yaml.compose(head[1], Loader=yaml.SafeLoader) if head else None
        matter = yaml.safe_load(head[1]) if head else None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PressError(f"the front matter of {path} is no YAML: {yaml_problem(error, first=2)}") from error
    kexue = matter.get("kexue") if isinstance(matter, dict) else None
    if not isinstance(kexue, dict):
        raise PressError(f"{path}: the front matter must hold a mapping `kexue`")
    return _Reader(path, tree, kexue).read()


class _Reader:
    def __init__(self, path: Path, tree: yaml.Node | None, matter: dict[Any, Any]) -> None:
        self.path, self.tree, self.matter = path, tree, matter

    def read(self) -> FrontMatter:
        self._known("", self.matter, _FIELDS)
        for field in ("title", "title_zh", "article", "profiles"):
            if field not in self.matter:
                raise self._wrong(field, "is missing from the front matter")
        texts = {field: self._text(field) for field in _TEXTS}
        article = self._source("article", self.matter["article"])
        if not all(article.get(key) for key in ("title", "date", "url")):
            raise self._wrong("article", "must hold title, date and url")
        papers = self.matter.get("paper") or []
        papers = [papers] if isinstance(papers, dict) else papers
        if not isinstance(papers, list):
            raise self._wrong("paper", f"must be a mapping or a list of mappings, got {papers!r:.60}")
        return FrontMatter(
            title=texts["title"],
            title_zh=texts["title_zh"],
            article=article,
            papers=tuple(self._source("paper", paper) for paper in papers),
            summary=texts["summary"],
            key_figure=texts["key_figure"] or None,
            profiles=self._profiles(),
            data=self._data(),
            limits={**LIMITS, **self._limits("limits", self.matter.get("limits"))},
        )

    def _wrong(self, field: str, what: str) -> PressError:
        """An error at a field: `kexue.profiles.quick.seeds` is looked up in the YAML for its line."""
        line = _line(self.tree, ["kexue", *field.split(".")])
        return PressError(f"{self.path}:{line}: `kexue.{field}` {what}")

    def _known(self, field: str, mapping: Mapping[Any, Any], allowed: tuple[str, ...]) -> None:
        for name in mapping:
            if name not in allowed:
                near = get_close_matches(str(name), allowed, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(allowed)}"
                raise self._wrong(f"{field}{name}", f"is unknown: {hint}")

    def _mapping(self, field: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(field, f"must be a mapping, got {value!r:.60}")
        return value

    def _text(self, field: str) -> str:
        value = self.matter.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(field, f"must be a text, got {value!r:.60}")
        return value

    def _source(self, field: str, value: Any) -> dict[str, str]:
        given = self._mapping(field, value)
        self._known(f"{field}.", given, _SOURCE)
        found = {}
        for name, entry in given.items():
            if isinstance(entry, bool) or not isinstance(entry, str | int | float):
                raise self._wrong(
                    f"{field}.{name}",
                    f'must be a text, got {entry!r:.60}; quote the date ("2021-12-04"), '
                    "for a notebook cannot hold a bare YAML date",
                )
            found[name] = str(entry)
        return found

    def _profiles(self) -> dict[str, dict[str, Any]]:
        given = self._mapping("profiles", self.matter["profiles"])
        if not given or set(given) - set(PROFILES):
            raise self._wrong(
                "profiles", f"must map some of {', '.join(PROFILES)}; got {', '.join(map(str, given))}"
            )
        found = {}
        for profile in (name for name in PROFILES if name in given):
            settings = self._mapping(f"profiles.{profile}", given[profile])
            self._known(f"profiles.{profile}.", settings, ("seeds", *NEEDS, "limits"))
            seeds = settings.get("seeds")
            if isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= MOST_SEEDS:
                wanted = f"must be an integer ≥ 1 and ≤ {MOST_SEEDS}, got {seeds!r}"
                raise self._wrong(f"profiles.{profile}.seeds", wanted)
            needs = {
                need: self._amount(f"profiles.{profile}.{need}", settings.get(need, 0)) for need in NEEDS
            }
            limits = self._limits(f"profiles.{profile}.limits", settings.get("limits"))
            found[profile] = {"seeds": seeds, **needs, "limits": limits}
        return found

    def _amount(self, field: str, value: Any, wanted: str = "≥ 0") -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (0 < value < 1e9 if wanted == "> 0" else 0 <= value < 1e9):
            raise self._wrong(field, f"must be a number {wanted}, got {value!r}")
        return float(value)

    def _limits(self, field: str, value: Any) -> dict[str, float]:
        if value is None:
            return {}
        limits = self._mapping(field, value)
        self._known(f"{field}.", limits, tuple(LIMITS))
        return {name: self._amount(f"{field}.{name}", seconds, "> 0") for name, seconds in limits.items()}

    def _data(self) -> tuple[str, ...]:
        value = self.matter.get("data") or []
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self._wrong("data", f"must be a list of data sets, got {value!r:.60}")
        return tuple(value)


def _line(tree: yaml.Node | None, keys: list[str]) -> int:
    """The 1-based line of the file where the deepest of the keys stands that there is."""
    line = 1
    node = tree
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next((pair for pair in pairs if getattr(pair[0], "value", None) == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 2, found[1]  # the first line of the file is the fence
    return line
