"""The score of Listen, Attend and Spell itself: each term, computed again in other ways."""

import pytest
import torch
from torch.nn import functional as F
from toy_recogniser import fused

from speechseq.batch import ASRBatch
from speechseq.errors import ConfigError, DataError
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.hypothesis import posteriors
from speechseq.inference.search.length_rules import GNMT
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.recognise import recognise
from speechseq.inference.search.rescore import rescore
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.models.las import LAS, LASConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import SpellerConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.text.vocabulary import BLANK, EOS

SYMBOLS, FEATURES = 9, 5
ATTENTIONS = {
    "content": ContentConfig(dim=6),
    "dot": DotConfig(dim=6),
    "location": LocationSensitiveConfig(dim=6, filters=3, kernel=5),
    "windowed": LocationSensitiveConfig(
        dim=6, filters=3, kernel=5, reading=ReadingConfig(window=2, smoothing=True)
    ),
    "multi_head": MultiHeadConfig(),
    "gmm": GMMConfig(dim=6),
    "convolution": DynamicConvolutionConfig(dim=6),
}
FULL = ScoreConfig(ctc_weight=0.4, length=GNMT(), coverage_weight=0.2, coverage_threshold=0.3)
LENGTHS = torch.tensor([40, 13, 27])


def las(attention="location", *, ctc: bool = True) -> LAS:
    """A tiny untrained model whose weights are large, so that its outputs differ."""
    speller = SpellerConfig(embedding=8, layers=2, hidden=12, attention=ATTENTIONS[attention])
    listener = ListenerConfig(hidden=6, base_layers=1, pyramid_layers=1)
    model = LASConfig(listener=listener, speller=speller, ctc=ctc).build(SYMBOLS, FEATURES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
        model.speller.symbols.bias[EOS] += 1.0
    return model


def features() -> torch.Tensor:
    return torch.randn(3, 40, FEATURES, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_term_is_found_again_by_teacher_forcing(attention):
    model, scorers = las(attention), fused(0.3)
    limit = LimitConfig(tokens_per_position=0.6, at_least=3)
    beam = Beam(size=5, n_best=5, score=FULL, limit=limit)
    found = recognise(model, features(), LENGTHS, beam, scorers=scorers)
    ids = [[one.ids for one in own] for own in found]
    again = rescore(model, features(), LENGTHS, ids, FULL, scorers=scorers)
    for own, others in zip(found, again, strict=True):
        for one, other in zip(own, others, strict=True):
            assert one.terms == pytest.approx(other.terms, abs=1e-4)
            assert (one.tokens, one.finished) == (other.tokens, other.finished)
            torch.testing.assert_close(one.alignment, other.alignment, atol=1e-4, rtol=0)


@pytest.mark.parametrize("strategy", [Greedy(), Beam(size=6, n_best=3)])
def test_what_the_model_says_equals_its_own_teacher_forced_pass(strategy):
    model = las()
    found = recognise(model, features(), LENGTHS, strategy)
    model.eval()
    for row, own in enumerate(found):
        for one in own:
            tokens = torch.tensor([one.ids])
            frames = features()[row : row + 1, : LENGTHS[row]]
            batch = ASRBatch(
                features=frames,
                feature_lengths=LENGTHS[row : row + 1],
                tokens=tokens,
                token_lengths=torch.tensor([tokens.shape[1]]),
            )
            with torch.no_grad():
                output = model(batch)
            each = output.log_probs[0].gather(1, tokens.T)[:, 0]
            torch.testing.assert_close(one.token_log_probs, each, atol=1e-4, rtol=0)
            torch.testing.assert_close(one.alignment, output.alignment[0], atol=1e-4, rtol=0)
            assert one.score == pytest.approx(float(each.sum()), abs=1e-4)
            assert one.score == pytest.approx(one.log_prob, abs=1e-4)


def test_the_terms_of_ctc_and_coverage_are_what_their_names_say():
    model = las()
    score = ScoreConfig(ctc_weight=0.4, coverage_weight=0.2, coverage_threshold=0.3)
    found = recognise(model, features(), LENGTHS, Beam(size=5, n_best=5, score=score))
    model.eval()
    with torch.no_grad():
        encoded = model.encode(features(), LENGTHS)
        log_probs = model.ctc_log_probs(*encoded)
    for row, own in enumerate(found):
        for one in own:
            assert one.finished
            loss = F.ctc_loss(
                log_probs[row, : encoded.memory_lengths[row]],
                torch.tensor(one.tokens, dtype=torch.long),
                encoded.memory_lengths[row],
                torch.tensor(len(one.tokens)),
                blank=BLANK,
                reduction="sum",
            )
            assert one.terms["ctc"] == pytest.approx(-0.4 * float(loss), abs=1e-3)
            covered = int((one.alignment.sum(0) > 0.3).sum())
            assert one.terms["coverage"] == pytest.approx(0.2 * covered)
            assert one.alignment.shape[1] == encoded.memory_lengths[row]
            torch.testing.assert_close(one.alignment.sum(1), torch.ones(len(one.ids)))


def test_a_reference_is_scored_beside_what_was_found():
    """A reference that scores more than the result shows an error of the search, not the model."""
    model = las()
    best = recognise(model, features(), LENGTHS, Beam(size=50))[0][0]
    reference = (4, 5, 4, EOS)
    asked = [[best.ids, reference], [], []]
    scored = rescore(model, features(), LENGTHS, asked, ScoreConfig())
    assert [len(row) for row in scored] == [2, 0, 0]
    assert scored[0][1].ids == reference
    assert scored[0][1].score < scored[0][0].score == pytest.approx(best.score, abs=1e-4)


@pytest.mark.parametrize("ids", [[], [EOS, 4], [4, BLANK], [0]])
def test_what_is_no_transcript_is_refused(ids):
    with pytest.raises(DataError, match=r"transcripts\[1\]"):
        rescore(las(), features(), LENGTHS, [[], [ids], []], ScoreConfig())


def test_a_ctc_weight_needs_a_ctc_head():
    beam = Beam(score=ScoreConfig(ctc_weight=0.3))
    with pytest.raises(ConfigError, match="no CTC head"):
        recognise(las(ctc=False), features(), LENGTHS, beam)


def test_posteriors_are_shares_of_the_n_best():
    own = recognise(las(), features(), LENGTHS, Beam(size=4, n_best=4))[0]
    shares = posteriors(own)
    assert sum(shares) == pytest.approx(1.0)
    assert shares == sorted(shares, reverse=True)
    ratio = torch.tensor(own[0].score - own[1].score).exp()
    assert shares[0] / shares[1] == pytest.approx(float(ratio), rel=1e-4)
