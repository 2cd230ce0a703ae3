"""Searching and rescoring in any precision, also where a transcript, or each of them, is empty."""

import pytest
import torch
from toy_recogniser import FEATURES, ToyRecogniser, fused, utterances

from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.length_rules import GNMT, PerTokenBonus
from speechseq.inference.search.recognise import recognise
from speechseq.inference.search.rescore import rescore
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.inference.timestamps import attention_places
from speechseq.models.las import las_paper, las_small
from speechseq.text.vocabulary import EOS

SCORE = ScoreConfig(ctc_weight=0.3, coverage_weight=0.1, length=GNMT(), end_threshold=1.5)
STRATEGIES = {
    "greedy": Greedy(),
    "beam": Beam(size=3),
    "n_best": Beam(size=3, n_best=3, score=ScoreConfig(length=PerTokenBonus(bonus=0.5))),
    "all": Beam(size=3, n_best=2, score=SCORE),
}
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
each_empty = pytest.mark.parametrize("empty", [(), (1,), (0, 1, 2)], ids=["none", "one", "all"])
each_precision = pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])


def silencing(empty: tuple[int, ...]):
    """A toy that ends at once where channel 0 is loud, and utterances, loud in the given rows."""
    torch.manual_seed(0)
    model, (features, lengths) = ToyRecogniser(ending=0.5).eval(), utterances(14, 9, 22)
    with torch.no_grad():
        model.speller.symbols.weight[EOS, -FEATURES] = 10.0
    features[..., 0] = 0.0
    features[list(empty), :, 0] = 50.0
    return model, features, lengths


def run(precision: str, call, model, features, *given, **further):
    """Call with a model and features in float32 or float64, or under bfloat16's autocast."""
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    dtype = torch.float64 if precision == "float64" else torch.float32
    with autocast, torch.inference_mode():
        return call(model.to(dtype), features.to(dtype), *given, **further)


@each_precision
@each_empty
@each_strategy
def test_search_in_any_precision(precision, empty, strategy):
    model, features, lengths = silencing(empty)
    scorers = () if isinstance(strategy, Greedy) else fused(0.3)
    found = run(precision, recognise, model, features, lengths, strategy, scorers=scorers)
    assert [row for row, own in enumerate(found) if own[0].tokens == ()] == list(empty)
    for (best, *_), length in zip(found, lengths.tolist(), strict=True):
        assert best.alignment.shape == (len(best.ids), -(-length // 2))
        assert best.token_log_probs.shape == (len(best.ids),)
        assert best.token_log_probs.isfinite().all()
        assert len(attention_places(best.alignment)) == len(best.ids)


@each_precision
@pytest.mark.parametrize(
    "transcripts",
    [[[(EOS,)]] * 3, [[(EOS,), (4, 5, EOS)], [(EOS,)], [(6,), (EOS,)]]],
    ids=["all empty", "mixed"],
)
def test_rescore_in_any_precision(precision, transcripts):
    model, features, lengths = silencing(())
    given = features, lengths, transcripts, SCORE
    found = run(precision, rescore, model, *given, scorers=fused(0.3))
    assert [[one.ids for one in own] for own in found] == transcripts
    true = run("float64", rescore, model, *given, scorers=fused(0.3))
    close = {"float32": 1e-4, "float64": 0.0, "bfloat16": 0.1}[precision]
    for own, others in zip(found, true, strict=True):
        for one, other in zip(own, others, strict=True):
            assert one.score == pytest.approx(other.score, rel=close, abs=close)


@each_empty
@each_strategy
def test_double_precision_is_kept(empty, strategy):
    """Log-probabilities are the model's own, not rounded on their way into a hypothesis."""
    model, features, lengths = silencing(empty)
    found = run("float64", recognise, model, features, lengths, strategy)
    ids = [[one.ids for one in own] for own in found]
    again = run("float64", rescore, model, features, lengths, ids, ScoreConfig())
    for own, others in zip(found, again, strict=True):
        for one, other in zip(own, others, strict=True):
            assert one.token_log_probs.dtype == one.alignment.dtype == torch.float64
            torch.testing.assert_close(
                one.token_log_probs, other.token_log_probs, rtol=1e-12, atol=1e-12
            )


@each_precision
@pytest.mark.parametrize("builder", [las_small, las_paper])
def test_las_hears_nothing_in_any_precision(precision, builder):
    model = builder().build(symbols=9, features=FEATURES)
    with torch.no_grad():
        model.speller.symbols.bias.zero_()[EOS] = 100.0
    for strategy in (Greedy(), Beam(size=3)):
        found = run(precision, recognise, model, *utterances(14, 9, 22), strategy)
        assert [own[0].tokens for own in found] == [()] * 3
