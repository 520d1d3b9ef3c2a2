"""Claims as YAML text: what is read, what is refused, by line and field; nothing is executed."""

import contextlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexue.claims import Claim, ClaimTextError, read_claims, read_expectation

FULL = """
defaults:
  from: the article, section 1
  kind: article
  registered: before

mean-zero:
  says: The mean of standard normal draws
    is zero.
  headline: true
  measures: mean of the draws
  expect: = 0 ± 0.3
  over: draws

variance-one:
  says: 'Their variance: one.'
  from: the paper, table 2
  kind: paper
  expect: "> 0"
  unit: nat
  scale: full
  interval: bca
  over: seeds
  registered: 'changed: the bar was 0.5'
"""

ONE = """\
c:
  says: S.
  from: F.
  kind: ours
  expect: ≥ 2
  registered: before
"""


def test_all_fields_are_read():
    first, second = read_claims(FULL)
    assert first == Claim(
        id="mean-zero",
        statement="The mean of standard normal draws is zero.",
        source="the article, section 1",
        kind="article",
        expect=read_expectation("= 0 ± 0.3"),
        registered="before",
        headline=True,
        quantity="mean of the draws",
        over="draws",
    )
    assert second == Claim(
        id="variance-one",
        statement="Their variance: one.",
        source="the paper, table 2",
        kind="paper",
        expect=read_expectation("> 0"),
        registered="changed: the bar was 0.5",
        unit="nat",
        over="seeds",
        scale="full",
        interval="bca",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("expect: ≥ 2", "expect: ≥ two", "line 5, claim c, field expect: needs finite numbers"),
        ("expect: ≥ 2", "expect: 2", "line 5, claim c, field expect: must be one of ≥ 2"),
        ("expect: ≥ 2", "expect: [1, 2]", "line 5, claim c, field expect: must be text, got a list"),
        ("expect: ≥ 2", "expect: > 0", "line 5, no YAML: .* begins with > .* in quotes"),
        ("expect: ≥ 2", "expect: >= 2", "line 5, no YAML: .* begins with > .* in quotes"),
        ("  expect: ≥ 2\n", "", "line 1, claim c, field expect: is missing"),
        ("registered: before", "registered: later", "line 6, claim c, field registered: must be before, or"),
        ("registered: before", "registered: changed: a bar", "line 6, no YAML: .* a colon and a space"),
        ("kind: ours", "kind: theorem", "line 4, claim c, field kind: must be one of article, paper, sequel"),
        ("kind: ours", "kind:", "line 4, claim c, field kind: must be one of"),
        ("kind: ours", "kinds: ours", "line 4, claim c, field kinds: is unknown; the fields are says"),
        ("kind: ours", "says: T.", "line 4, claim c: says stands there twice, first in line 2"),
        ("says: S.", "says: ''", "line 2, claim c, field says: .* must not be empty"),
        ("says: S.", "says: {a: b}", "line 2, claim c, field says: must be text, got a mapping"),
        ("says: S.", "says: S.\n  headline: 1", "line 3, claim c, field headline: must be true or false"),
        ("says: S.", "says: S.\n  <<: {unit: nat}", "line 3, claim c, field <<: is unknown"),
        ("says: S.", "says: !!python/name:os.system", "line 2, claim c, field says: .* got the tag .*python"),
        ("c:", "Not Kebab:", "line 1, claim Not Kebab: the id must be kebab-case"),
        ("c:", "c: 1\nd:", "line 1, claim c: must be a mapping, fields with their values; got '1'"),
        ("c:", "[1, 2]: x\nc:", "line 1, the text: a key must be text, got a list"),
        ("c:", "defaults: {says: T.}\nc:", "line 1, defaults, field says: is unknown"),
        ("c:", "defaults: {over: runs}\nc:", "line 1, claim c, field over: must be one of exact"),
    ],
)
def test_a_mistake_is_told_by_line_and_field(old, new, message):
    assert old in ONE
    with pytest.raises(ClaimTextError, match=message):
        read_claims(ONE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE + ONE, "line 7, the text: c stands there twice, first in line 1"),
        ("", "must hold at least one claim"),
        ("defaults: {kind: ours}", "must hold at least one claim"),
        ("- c", "the text: must be a mapping, claims by id; got a list"),
        ("c: {says: S.", "line 1, no YAML"),
        ("c:\n\tsays: S.", "line 2, no YAML"),
        ("c: &c {says: *c}", "line 1, claim c, field says: must be text, got a mapping"),
        ("[" * 10_000, "no YAML"),
    ],
)
def test_a_text_of_another_shape_is_refused(text, message):
    with pytest.raises(ClaimTextError, match=message):
        read_claims(text)


def test_nothing_is_executed(tmp_path):
    trace = tmp_path / "trace"
    for tag in ("!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir"):
        with pytest.raises(ClaimTextError, match="must be a mapping"):
            read_claims(f"c: {tag} ['{trace}']")
        with pytest.raises(ClaimTextError, match="must be text"):
            read_claims(f"c: {{says: {tag} ['{trace}']}}")
    with pytest.raises(ClaimTextError, match="got the tag"):
        read_claims("c: !!python/module:antigravity x")
    assert not trace.exists()
    assert "antigravity" not in sys.modules


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ClaimTextError):
        assert read_claims(text)


@pytest.mark.parametrize("written", ["no", "3", "1.50", "2021-12-04", "null", "="])
def test_a_value_is_the_text_as_it_stands(written):
    (claim,) = read_claims(ONE.replace("says: S.", f"says: {written}"))
    assert claim.statement == written
