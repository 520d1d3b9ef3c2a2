"""Models, rules and output layers that return another shape are refused where they come in; both shapes are named."""

import pytest
import torch

from kexue.decoding import beam, decode, estimators, exact, loops, ngram, training
from kexue.decoding.heads import Scores, Softmax
from kexue.decoding.recurrent import Recurrent
from kexue.decoding.rules import Ancestral, Greedy

CONTEXT = torch.zeros(1, 2, dtype=torch.int64)
pytestmark = pytest.mark.usefixtures("as_a_user")


class Model:
    """Four tokens, each as likely; `end` is what is done to the logits (1, 4)."""

    vocabulary, eos = 4, 3

    def __init__(self, end=lambda logits: logits):
        self.end = end

    def init(self, prefix):
        return (torch.zeros(len(prefix)),)

    def step(self, token, state):
        return self.end(torch.zeros(len(token), self.vocabulary)), state


class Rule(Greedy):
    """Greedy, with a law or a choice of another shape."""

    def __init__(self, law=lambda law: law, choice=lambda choice: choice):
        object.__setattr__(self, "law", law)
        object.__setattr__(self, "choice", choice)

    def log_law(self, logits, eos):
        return self.law(super().log_law(logits, eos))

    def choose(self, logits, eos, generator):
        return self.choice(super().choose(logits, eos, generator))


def source():
    return torch.Generator().manual_seed(0)


DOORS = {
    "decode": lambda model: decode.decode(model, CONTEXT, Ancestral(), 3, generator=source()),
    "walk": lambda model: decode.walk(model, CONTEXT, CONTEXT),
    "beam": lambda model: beam.beam(model, CONTEXT, 1, 3),
    "certify": lambda model: loops.certify(model, CONTEXT, 3, 1.0),
    "log_survival": lambda model: estimators.log_survival(model, CONTEXT, Ancestral(), 3, source()),
    "enumerated_survival": lambda model: exact.enumerated_survival(model, CONTEXT, Ancestral(), 1),
}


@pytest.mark.parametrize(
    ("end", "shape"),
    [
        (lambda logits: logits[0], r"\(4,\)"),
        (lambda logits: logits[:, None], r"\(1, 1, 4\)"),
        (lambda logits: logits[:, :3], r"\(1, 3\)"),
        (lambda logits: logits.expand(5, 4), r"\(5, 4\)"),
    ],
)
@pytest.mark.parametrize("door", DOORS)
def test_a_model_of_another_shape_is_refused(door, end, shape):
    DOORS[door](Model())
    with pytest.raises(ValueError, match=rf"model.step must return shape \(1, 4\) .*got shape {shape}"):
        DOORS[door](Model(end))


def test_a_rule_of_another_shape_is_refused():
    careless = Rule(law=lambda law: law[0])
    for run in (
        lambda: estimators.log_survival(Model(), CONTEXT, careless, 3, source()),
        lambda: exact.enumerated_survival(Model(), CONTEXT, careless, 1),
        lambda: exact.decoded_chain(Table(), careless, CONTEXT[:, :1]),
    ):
        with pytest.raises(ValueError, match=r"rule.log_law must return shape \(1, 4\).*got shape \(4,\)"):
            run()
    with pytest.raises(ValueError, match=r"rule.choose must return shape \(1,\).*got shape \(1, 1\)"):
        decode.decode(Model(), CONTEXT, Rule(choice=lambda choice: choice[:, None]), 3)


class Table(ngram.FiniteModel):
    def __init__(self, end=lambda rows: rows):
        super().__init__(4, 3, 1)
        self.end = end

    def rows(self, histories):
        return self.end(torch.zeros(len(histories), 4))


def test_a_table_of_another_shape_is_refused():
    exact.decoded_chain(Table(), Ancestral(), CONTEXT[:, :1])
    with pytest.raises(ValueError, match=r"model.rows must return shape \(1, 4\).*got shape \(4,\)"):
        exact.decoded_chain(Table(lambda rows: rows[0]), Ancestral(), CONTEXT[:, :1])


class Head(Softmax):
    """An ordinary softmax that forgets an axis, or takes a mean."""

    def step(self, hidden, logits, state):
        return super().step(hidden, logits, state)[0][0], state

    def sequence(self, hidden, logits):
        return super().sequence(hidden, logits).mean(1)

    def scores(self, hidden, word, lead, ends):
        found = super().scores(hidden, word, lead, ends)
        return Scores(found.decision, found.word.mean())


def test_an_output_layer_of_another_shape_is_refused():
    model = Recurrent(4, 3, 8, layers=1, head=Head())
    texts = [[0, 1, 2, 3], [0, 2, 1, 3]]
    with pytest.raises(ValueError, match=r"head.sequence must return shape \(2, 4, 4\).*got shape \(2, 4\)"):
        model(torch.tensor(texts))
    with pytest.raises(ValueError, match=r"head.scores' word must return shape \(2, 3\).*got shape \(\)"):
        training.fit(model, texts, context=0, epochs=1, rate=1e-2, generator=source())
    with pytest.raises(ValueError, match=r"head.step must return shape \(1, 4\).*got shape \(4,\)"):
        decode.decode(model, CONTEXT, Greedy(), 3)
