"""The language model: exact under padding, causal, normalised, and a learner."""

import math

import padding_law as law
import pytest
import torch
from padding_law import Inputs, Lengths, Outputs, Part, Stream
from torch import Tensor
from torch.nn import functional as F

from speechseq.batch import TextBatch
from speechseq.errors import ConfigError
from speechseq.models.language_model import (
    LanguageModel,
    LanguageModelConfig,
    LanguageModelLoss,
    perplexity,
)
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS

SYMBOLS = 9
VALID = [i for i in range(SYMBOLS) if i not in (PAD, SOS, BLANK)]
CONFIGS = {
    "plain": LanguageModelConfig(embedding=6, hidden=7, dropout=0.0),
    "two layers": LanguageModelConfig(embedding=6, hidden=7, layers=2, dropout=0.0),
    "tied": LanguageModelConfig(embedding=6, hidden=6, dropout=0.0, tied=True),
    "tied and narrowed": LanguageModelConfig(embedding=5, hidden=7, dropout=0.0, tied=True),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def build(config: LanguageModelConfig) -> LanguageModel:
    torch.manual_seed(2)
    return config.build(SYMBOLS)


def batch_of(rows: list[list[int]], padding: int = PAD) -> TextBatch:
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
    return TextBatch(tokens=tokens, token_lengths=torch.tensor([len(row) for row in rows]))


def random_rows(count: int, longest: int = 12) -> list[list[int]]:
    drawn = torch.Generator().manual_seed(5)
    sizes = torch.randint(0, longest, (count,), generator=drawn).tolist()
    return [[*torch.randint(4, SYMBOLS, (n,), generator=drawn).tolist(), EOS] for n in sizes]


def call(module: LanguageModel, inputs: Inputs, lengths: Lengths) -> Outputs:
    batch = TextBatch(tokens=inputs["tokens"], token_lengths=lengths["tokens"])
    log_probs = module(batch).log_probs[..., VALID]  # the others' -1e30 would hide any error
    return [(log_probs, lengths["tokens"])]


@each_config
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_law_1_padding_changes_nothing(config: LanguageModelConfig, dtype: torch.dtype) -> None:
    part = Part("lm", lambda: build(config), {"tokens": Stream(0, (5, 1, 9, 2))}, call)
    module = part.build().to(dtype)
    items = law.make_items(part, dtype)
    alone = law.joined([law.run(part, module, [item], 0, 0.0) for item in items])
    for extra in (0, 3):
        law.assert_same_results(law.run(part, module, items, extra, 1e4), alone)


@each_config
def test_law_1_the_loss_counts_every_token_once(config: LanguageModelConfig) -> None:
    model, loss, rows = build(config).double(), LanguageModelLoss(), random_rows(6)
    whole = loss(model(batch := batch_of(rows, padding=10**6)), batch).total
    singles = [loss(model(one := batch_of([row])), one).total * len(row) for row in rows]
    mean = sum(singles) / sum(map(len, rows))
    torch.testing.assert_close(whole, mean, rtol=0, atol=1e-10)
    for actual, true in zip(
        torch.autograd.grad(whole, list(model.parameters())),
        torch.autograd.grad(mean, list(model.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(actual, true, rtol=0, atol=1e-10)


def test_trap_28_perplexity_does_not_depend_on_the_batches() -> None:
    model, rows = build(CONFIGS["plain"]).double(), random_rows(7)
    whole = perplexity(model, [batch_of(rows)])
    pieces = perplexity(model, [batch_of(rows[:1]), batch_of(rows[1:3]), batch_of(rows[3:])])
    assert whole == pytest.approx(pieces, rel=1e-12)
    nats = 0.0
    for row in rows:
        log_probs = model(batch_of([row])).log_probs[0].detach()
        nats -= sum(float(log_probs[i, token]) for i, token in enumerate(row))
    assert whole == pytest.approx(math.exp(nats / sum(map(len, rows))), rel=1e-12)


@each_config
def test_law_5_teacher_forced_equals_stepwise(config: LanguageModelConfig) -> None:
    model, row = build(config).double().eval(), [4, 5, 6, 7, 8, 4, EOS]
    whole = model(batch_of([row, row])).log_probs
    state = model.start(2)
    for place, token in enumerate([SOS, *row[:-1]]):
        log_probs, state = model.step(torch.tensor([token, token]), state)
        torch.testing.assert_close(log_probs[:, VALID], whole[:, place][:, VALID])


def test_law_5_a_token_changes_nothing_at_or_before_its_place() -> None:
    model, row = build(CONFIGS["two layers"]).eval(), [4, 5, 6, 7, EOS]
    before = model(batch_of([row])).log_probs
    row[2] = 8
    after = model(batch_of([row])).log_probs
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3], after[:, 3])


@each_config
def test_law_3_log_probs_are_a_distribution_without_controls(config: LanguageModelConfig) -> None:
    log_probs = build(config)(batch_of(random_rows(3))).log_probs
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(log_probs.shape[:2]))
    assert (log_probs[..., [PAD, SOS, BLANK]] < -1e29).all()
    assert log_probs.isfinite().all()
    assert (log_probs[..., VALID] > -50).all()


def test_the_layers_are_torchs() -> None:
    """Against torch's own cell, unrolled plainly."""
    model = build(CONFIGS["plain"]).double().eval()
    cell = torch.nn.LSTMCell(6, 7).double()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in model.layers.state_dict().items()})
    row, hidden, memory = [4, 6, 5, EOS], torch.zeros(1, 7).double(), torch.zeros(1, 7).double()
    log_probs = model(batch_of([row])).log_probs[0]
    for place, token in enumerate([SOS, *row[:-1]]):
        hidden, memory = cell(model.embedding.weight[[token]], (hidden, memory))
        assert isinstance(model.output, torch.nn.Linear)
        logits = model.output(hidden)[0, VALID]
        torch.testing.assert_close(log_probs[place, VALID], F.log_softmax(logits, -1))


def test_tied_weights_are_one_tensor() -> None:
    model = build(CONFIGS["tied"])
    assert model.output is None
    untied = build(CONFIGS["plain"])
    assert isinstance(untied.output, torch.nn.Linear)
    assert "output.weight" not in model.state_dict()


def test_it_learns_an_alternation_to_its_entropy() -> None:
    """After 4 comes 5, after 5 one of 6 and 7: ln 2 nats a pair can be learned, and no less."""
    drawn = torch.Generator().manual_seed(0)

    def row() -> list[int]:
        tail = torch.randint(6, 8, (4,), generator=drawn).tolist()
        return [token for last in tail for token in (4, 5, last)] + [EOS]

    torch.manual_seed(0)
    model = LanguageModelConfig(embedding=8, hidden=16, dropout=0.0).build(SYMBOLS)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(120):
        batch = batch_of([row() for _ in range(16)])
        loss = LanguageModelLoss()(model(batch), batch)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    best = math.exp(4 * math.log(2) / 13)
    held_out = perplexity(model.eval(), [batch_of([row() for _ in range(50)])])
    assert best * 0.99 < held_out < best * 1.03


@pytest.mark.parametrize("numbers", [{"hidden": 0}, {"layers": 0}, {"dropout": 1.0}])
def test_numbers_that_make_no_sense_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(numbers))):
        LanguageModelConfig(**numbers)


def test_controls_alone_are_refused() -> None:
    with pytest.raises(ConfigError, match="controls"):
        LanguageModelConfig().build(4)


def test_dropout_acts_in_training_alone() -> None:
    model, batch = LanguageModelConfig(hidden=8, dropout=0.5).build(SYMBOLS), batch_of([[4, EOS]])
    assert not torch.equal(model(batch).log_probs, model(batch).log_probs)
    model.eval()
    log_probs: list[Tensor] = [model(batch).log_probs for _ in range(2)]
    assert torch.equal(*log_probs)
