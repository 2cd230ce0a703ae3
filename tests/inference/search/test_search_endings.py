"""Endings of a search: errors that name their rows, restored modes, ties, thresholds."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from toy_recogniser import ToyRecogniser, fused, utterances

from speechseq.errors import CheckpointError, ConfigError, DataError
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.interfaces import WeightedScorer
from speechseq.inference.search.length_rules import GNMT, PerCharacter, PerToken, PerTokenBonus
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.recognise import recognise
from speechseq.inference.search.scoring import Parts, Score, ScoreConfig
from speechseq.ops.topk import _torch_topk, stable_topk
from speechseq.text.vocabulary import EOS

each_strategy = pytest.mark.parametrize(
    "strategy", [Greedy(), Beam(size=3, score=ScoreConfig(ctc_weight=0.3))], ids=lambda s: s.kind
)


@pytest.fixture(params=["kernel", "torch"])
def each_way(request, monkeypatch):
    """The choice of the best by the kernel, where there is one, and by torch's operations."""
    if request.param == "torch":
        monkeypatch.setattr("speechseq.ops.topk.library", lambda name: None)
        monkeypatch.setattr("speechseq.ops.topk.call", None)


@each_strategy
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_features_that_are_not_finite_are_named_by_their_rows(strategy, broken):
    model, (features, lengths) = ToyRecogniser(), utterances(14, 9, 22)
    true = recognise(model, features, lengths, strategy)
    features[1, 4, 2] = broken
    with pytest.raises(DataError, match="row 1: the features") as caught:
        recognise(model, features, lengths, strategy)
    assert caught.value.rows == (1,)
    sound = [row for row in range(3) if row not in caught.value.rows]
    again = recognise(model, features[sound], lengths[sound], strategy)
    assert [own[0].tokens for own in again] == [true[0][0].tokens, true[2][0].tokens]


def test_empty_features_are_named_by_their_rows():
    features, lengths = utterances(14, 9, 22)
    lengths[[0, 2]] = 0
    with pytest.raises(DataError, match="rows 0, 2"):
        recognise(ToyRecogniser(), features, lengths, Greedy())


@each_strategy
def test_padding_is_read_by_no_check(strategy):
    features, lengths = utterances(14, 9)
    features[1, 9:] = math.nan
    assert len(recognise(ToyRecogniser(), features, lengths, strategy)) == 2


@each_strategy
def test_an_encoding_with_nan_is_named_by_its_row(strategy):
    model = ToyRecogniser()
    encode = model.encode

    def broken(features: Tensor, feature_lengths: Tensor):
        encoded = encode(features, feature_lengths)
        encoded.memory[2, 3] = math.nan
        return encoded

    model.encode = broken
    with pytest.raises(CheckpointError, match="row 2: the encoder's output") as caught:
        recognise(model, *utterances(14, 9, 22), strategy)
    assert caught.value.rows == (2,)


@each_strategy
def test_a_speller_that_turns_to_nan_ends_the_search(strategy):
    """NaN occurs at the third step, in one row of a batch of which another row has ended."""
    model = ToyRecogniser(ending=2.0)
    step = model.speller.step

    def broken(tokens: Tensor, state):
        spelled = step(tokens, state)
        long = spelled.weights.count_nonzero(1) > 10
        wrong = (long & (state.steps == 2)).unsqueeze(1)
        return spelled._replace(log_probs=torch.where(wrong, math.nan, spelled.log_probs))

    model.speller.step = broken
    with pytest.raises(CheckpointError, match="row 1") as caught:
        recognise(model, *utterances(2, 22, 9), strategy)
    assert caught.value.rows == (1,)


@each_strategy
def test_weights_of_nan_are_a_checkpoint_s_fault(strategy):
    model = ToyRecogniser()
    torch.nn.init.constant_(model.speller.symbols.weight, math.nan)
    with pytest.raises(CheckpointError, match="rows 0, 1"):
        recognise(model, *utterances(14, 9), strategy)


@each_strategy
def test_modes_come_back_and_nothing_is_recorded_for_gradients(strategy):
    model = ToyRecogniser()
    model.train()
    model.ctc.eval()
    seen = []
    model.speller.symbols.register_forward_hook(lambda part, *_: seen.append(part.training))
    own = recognise(model, *utterances(14, 9), strategy)[0]
    assert not any(seen)
    assert model.training
    assert model.speller.symbols.training
    assert not model.ctc.training
    assert not own[0].alignment.requires_grad
    model.speller.step = None
    with pytest.raises(TypeError):
        recognise(model, *utterances(14, 9), strategy)
    assert model.training


@pytest.mark.usefixtures("each_way")
def test_of_equals_the_first_is_taken_in_any_batch():
    scores = torch.randint(-2, 3, (6, 500)).double()
    scores[scores == -1] = -math.inf
    scores[:, 7] = -0.0  # equal to 0
    true = scores.sort(dim=1, descending=True, stable=True).indices
    for size in (1, 8, 500):
        assert torch.equal(stable_topk(scores, size), true[:, :size])
        assert torch.equal(stable_topk(scores[3:4], size), true[3:4, :size])


@pytest.mark.usefixtures("each_way")
def test_scores_of_every_size_are_ranked():
    sizes = [torch.rand(4, 50).double() * 10.0**power for power in range(-30, 30, 7)]
    scores = -torch.cat(sizes, dim=1).float().double()
    scores[:, 60] = 0.0
    assert torch.equal(stable_topk(scores, 400), scores.topk(400).indices)


@pytest.mark.usefixtures("each_way")
def test_scores_of_long_hypotheses_are_told_apart_finer_than_single_precision():
    scores = -4000.0 - 1e-6 * torch.randperm(64, dtype=torch.float64).unsqueeze(0)
    assert len(set(scores.float()[0].tolist())) == 1
    assert torch.equal(stable_topk(scores, 9), scores.topk(9).indices)


def test_what_is_no_number_or_impossible_is_ranked_alike_by_both_ways():
    scores = torch.randn(6, 90).double().round()
    scores[1] = scores[2, 40:] = -math.inf
    scores[3, 7:] = -math.inf
    scores[4, 30] = scores[5, 0] = math.nan
    for size in (1, 9, 90):
        assert torch.equal(stable_topk(scores, size), _torch_topk(scores, size))


def test_a_model_that_finds_all_symbols_equal_spells_the_first_ones():
    model = ToyRecogniser(ending=0.0)
    torch.nn.init.zeros_(model.speller.symbols.weight)
    torch.nn.init.zeros_(model.speller.symbols.bias)
    for frames in ((14,), (14, 9, 22, 40)):
        own = recognise(model, *utterances(*frames), Beam(size=4, n_best=4))[0]
        assert [one.tokens for one in own] == [(), (4,), (4, 4), (4, 4, 4)]


def test_the_end_threshold_refuses_an_eos_that_is_not_likely_enough():
    model, given = ToyRecogniser(), utterances(14, 30, 9)

    def margins(threshold: float | None) -> list[float]:
        """log p(eos) / log p(best other), larger where eos is less likely."""
        score = ScoreConfig(end_threshold=threshold)
        found = recognise(model, *given, Beam(size=6, n_best=6, score=score))
        return [_margin(model, *given, row, one) for row, own in enumerate(found) for one in own]

    assert max(margins(None)) > 1.5
    assert max(margins(1.5)) < 1.5
    assert max(margins(1.0)) < 1.0


def _margin(model, features, lengths, row: int, one) -> float:
    assert one.finished
    encoded = model.encode(features[row : row + 1, : lengths[row]], lengths[row : row + 1])
    mask = torch.ones(encoded.memory.shape[:2], dtype=torch.bool)
    speller = model.speller.prepare()
    state = speller.start(encoded.memory, mask)
    with torch.no_grad():
        for token in (2, *one.tokens):
            spelled = speller.step(torch.tensor([token]), state)
            state = spelled.state
    others = spelled.log_probs[0].clone()
    others[EOS] = -math.inf
    return float(spelled.log_probs[0, EOS] / others.max())


@pytest.mark.parametrize(
    "rule",
    [PerToken(), GNMT(), PerCharacter(symbol_widths=(0.0, 0.0, 2.0)), PerTokenBonus(bonus=0.5)],
    ids=lambda rule: rule.kind,
)
def test_no_continuation_scores_more_than_the_bound(rule):
    """Random continuations of random hypotheses; the best of them comes near."""
    config = ScoreConfig(ctc_weight=0.3, length=rule, coverage_weight=0.1)
    score = Score(config, (WeightedScorer("up", None, 0.5, 0.2), WeightedScorer("down", None, 0.2)))
    n, remaining, positions = 4000, 6, 9.0
    base = Parts(
        attention=-5 * torch.rand(n),
        ctc=-9 * torch.rand(n),
        fused=(-5 * torch.rand(n), -3 * torch.rand(n)),
        length=torch.randint(1, 9, (n,)).float(),
        covered=torch.randint(0, 5, (n,)).float(),
    )
    most = score.most(base, torch.full((n,), positions), torch.tensor(remaining), 2.0)
    steps = torch.randint(1, remaining + 1, (n,))
    small = torch.rand(n) ** 8
    final = Parts(
        attention=base.attention - small,
        ctc=base.ctc - small,
        fused=(base.fused[0] + 0.2 * steps - small, base.fused[1] - small),
        length=base.length + 1 + 2.0 * torch.rand(n) * (steps - 1),
        covered=torch.full((n,), positions),
    )
    gap = most - score.total(final)
    assert gap.min() >= -1e-5
    assert gap.min() < 0.8


def test_a_scorer_with_a_negative_weight_leaves_the_bound_open():
    score = Score(ScoreConfig(), (WeightedScorer("internal", None, -0.3),))
    one = torch.tensor([-1.0])
    most = score.most(Parts(one, None, (one,), one + 2, None), one + 9, torch.tensor(3), 1.0)
    assert most == math.inf
    given = utterances(14, 9)
    own = recognise(ToyRecogniser(), *given, Beam(size=3), scorers=fused(-0.2))[0]
    assert own[0].terms["language"] > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Beam(size=0), "size: 0 is out of range"),
        (lambda: Beam(size=4, n_best=5), "n_best: 5 hypotheses from a beam of 4"),
        (lambda: ScoreConfig(ctc_weight=-0.1), "ctc_weight: -0.1 is out of range"),
        (lambda: ScoreConfig(end_threshold=0.5), "end_threshold: 0.5"),
        (lambda: PerCharacter(symbol_widths=(1.0, -1.0)), "symbol_widths"),
        (lambda: GNMT(alpha=-1.0), "alpha: -1.0"),
        (lambda: LimitConfig(at_least=0), "at_least: 0"),
        (lambda: LimitConfig(tokens_per_position=math.inf), "tokens_per_position: inf"),
        (lambda: Score(ScoreConfig(), (*fused(), *fused())), "'language' is taken"),
        (lambda: Score(ScoreConfig(), (fused()[0]._replace(name="ctc"),)), "'ctc' is taken"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_widths_that_are_not_one_for_each_symbol_are_refused():
    score = ScoreConfig(length=PerCharacter(symbol_widths=(1.0, 1.0)))
    with pytest.raises(ConfigError, match="2 widths for 9 symbols"):
        recognise(ToyRecogniser(), *utterances(9), Beam(score=score))


def test_greedy_search_refuses_scorers():
    with pytest.raises(ConfigError, match="asks the model alone"):
        recognise(ToyRecogniser(), *utterances(9), Greedy(), scorers=fused())


def test_strategies_go_to_plain_data_and_back():
    score = ScoreConfig(ctc_weight=0.3, length=GNMT(alpha=0.7), end_threshold=1.5)
    beam = Beam(size=5, n_best=2, score=score, limit=LimitConfig(at_least=7))
    assert Beam.from_dict(beam.to_dict()) == beam
    assert beam.to_dict()["kind"] == "beam"
    assert Greedy.from_dict(Greedy().to_dict()) == Greedy()
    rule = PerCharacter(symbol_widths=(1.0, 2.0))
    kept = dataclasses.replace(score, length=rule)
    assert ScoreConfig.from_dict(kept.to_dict()) == kept
