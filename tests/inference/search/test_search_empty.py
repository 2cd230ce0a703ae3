"""The probability of an empty transcript is the model's own, whatever the search found."""

import pytest
import torch
from toy_recogniser import ToyRecogniser, fused, utterances

from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.recognise import recognise
from speechseq.inference.search.rescore import rescore
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.text.vocabulary import EOS

STRATEGIES = {
    "greedy": Greedy(),
    "beam": Beam(size=3, n_best=2),
    "scored": Beam(size=2, score=ScoreConfig(ctc_weight=0.3, end_threshold=1.5)),
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_every_hypothesis_knows_how_likely_an_empty_one_is(strategy):
    torch.manual_seed(0)
    model, given = ToyRecogniser(ending=0.5).eval(), utterances(14, 9, 22, 1)
    scorers = () if isinstance(strategy, Greedy) else fused(0.3)
    found = recognise(model, *given, strategy, scorers=scorers)
    empty = rescore(model, *given, [[(EOS,)]] * 4, ScoreConfig())
    forced = rescore(model, *given, [[(4, 5, EOS), (EOS,)]] * 4, ScoreConfig())
    true = [own[0].log_prob for own in empty]
    assert len(set(true)) == 4
    for own, others, log_prob in zip(found, forced, true, strict=True):
        for one in (*own, *others):
            assert one.empty_log_prob == pytest.approx(log_prob, abs=1e-5)
