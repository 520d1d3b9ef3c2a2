"""Claims as a chapter writes them: YAML text, one mapping a claim, read by a schema; nothing in it is executed.

::

    defaults:
      from: the article, section 1
      kind: article
      registered: before

    mean-zero:
      says: The mean of standard normal draws is zero.
      headline: true
      measures: mean of the draws
      expect: = 0 ± 0.3
      over: draws
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from kexue.claims.claim import Claim, ClaimError, FieldError
from kexue.claims.expectation import Expectation, read_expectation

DEFAULTS = "defaults"
REQUIRED = ("says", "from", "kind", "expect", "registered")
SHARED = ("from", "kind", "registered", "unit", "over", "scale", "interval")  # what `defaults` may hold
FIELDS = ("says", "measures", "expect", "headline", *SHARED)

_ATTRIBUTES = {"says": "statement", "from": "source", "measures": "quantity"}  # others go by their own name
_NAMES = {attribute: field for field, attribute in _ATTRIBUTES.items()}
_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value")}
_QUOTE = "a value that begins with > or has a colon and a space in it stands in quotes"


class ClaimTextError(ClaimError):
    """The text of the claims is not what it should be.

    Args:
        line: the line of the text, from 1.
        reason: claim, field, what came and what is wanted.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}, {reason}")
        self.line, self.reason = line, reason


class _Entry(NamedTuple):
    """A value of a mapping, with the line its key stands on."""

    line: int
    value: yaml.Node


def read_claims(text: str) -> tuple[Claim, ...]:
    """The claims that a YAML text declares, in its order.

    Args:
        text: one mapping a claim, by id; `defaults` may hold what most of them share.

    Raises:
        ClaimTextError: naming line, claim and field.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)  # the syntax alone: no object is made of it
    except (yaml.YAMLError, RecursionError) as error:
        raise _no_yaml(error) from error
    if tree is None:
        raise ClaimTextError(1, "the text must hold at least one claim, got none")
    entries = _mapping(tree, "the text", "claims by id")
    shared: dict[str, _Entry] = {}
    if (given := entries.pop(DEFAULTS, None)) is not None:
        shared = _fields(given, DEFAULTS, SHARED)
    if not entries:
        raise ClaimTextError(1, "the text must hold at least one claim, got none")
    return tuple(_claim(id, entry, shared) for id, entry in entries.items())


def _no_yaml(error: Exception) -> ClaimTextError:
    mark = getattr(error, "problem_mark", None)
    reason = f"no YAML: {getattr(error, 'problem', None) or error}"
    return ClaimTextError(mark.line + 1 if mark is not None else 1, f"{reason} ({_QUOTE})")


def _mapping(node: yaml.Node, what: str, wanted: str) -> dict[str, _Entry]:
    """The entries of a mapping whose keys are text, each once."""
    if not isinstance(node, yaml.MappingNode):
        raise ClaimTextError(
            node.start_mark.line + 1, f"{what}: must be a mapping, {wanted}; got {_kind(node)}"
        )
    found: dict[str, _Entry] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ClaimTextError(line, f"{what}: a key must be text, got {_kind(key)}")
        if key.value in found:
            raise ClaimTextError(
                line, f"{what}: {key.value} stands there twice, first in line {found[key.value].line}"
            )
        found[key.value] = _Entry(line, value)
    return found


def _fields(entry: _Entry, what: str, known: tuple[str, ...]) -> dict[str, _Entry]:
    """The fields of a claim, or of the defaults: known ones with a plain value each."""
    fields = _mapping(entry.value, what, "fields with their values")
    for name, (line, value) in fields.items():
        if name not in known:
            raise ClaimTextError(line, f"{what}, field {name}: is unknown; the fields are {', '.join(known)}")
        if not isinstance(value, yaml.ScalarNode) or value.tag not in _PLAIN:
            raise ClaimTextError(line, f"{what}, field {name}: must be text, got {_kind(value)}")
    return fields


def _kind(node: yaml.Node) -> str:
    """What a node is, for messages."""
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value) if node.tag in _PLAIN else f"the tag {node.tag}"
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"


def _claim(id: str, entry: _Entry, shared: Mapping[str, _Entry]) -> Claim:
    what = f"claim {id}"
    fields = {**shared, **_fields(entry, what, FIELDS)}
    for name in REQUIRED:
        if name not in fields:
            raise ClaimTextError(entry.line, f"{what}, field {name}: is missing")
    values: dict[str, Any] = {
        _ATTRIBUTES.get(name, name): _value(what, name, field) for name, field in fields.items()
    }
    try:
        return Claim(id=id, **values)
    except FieldError as error:
        if error.field == "id":
            raise ClaimTextError(entry.line, f"{what}: the id {error.reason}") from error
        name = _NAMES.get(error.field, error.field)
        raise ClaimTextError(fields[name].line, f"{what}, field {name}: {error.reason}") from error


def _value(what: str, name: str, field: _Entry) -> str | bool | Expectation:
    """A field's value: as it is written, but for the expectation and the one yes or no."""
    text: str = field.value.value
    if name == "headline":
        if field.value.tag != f"{_TAG}bool":
            raise ClaimTextError(field.line, f"{what}, field {name}: must be true or false, got {text!r}")
        return text.lower() in ("true", "yes", "on")
    if name != "expect":
        return text
    try:
        return read_expectation(text)
    except ValueError as error:
        raise ClaimTextError(field.line, f"{what}, field {name}: {error}") from error
