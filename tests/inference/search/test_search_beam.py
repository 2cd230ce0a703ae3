"""Beam 1 is greedy, scores equal re-scored ones, batch equals single, a wide beam is optimal."""

import dataclasses

import pytest
import torch
from naive_beam import everything, naive_beam
from toy_recogniser import ToyRecogniser, fused, utterances

from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.search.length_rules import GNMT, PerCharacter, PerToken, PerTokenBonus
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.recognise import recognise
from speechseq.inference.search.rescore import rescore
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS, Vocabulary

WIDTHS = (0.0, 5.0, 0.0, 0.0, 1.0, 3.0, 2.0, 0.0, 4.0)  # of the toy's symbols; eos counts as 1
SCORES = {
    "attention": ScoreConfig(),
    "ctc": ScoreConfig(ctc_weight=0.5),
    "per_token": ScoreConfig(length=PerToken()),
    "per_character": ScoreConfig(length=PerCharacter()),
    "per_wide_character": ScoreConfig(length=PerCharacter(symbol_widths=WIDTHS)),
    "gnmt": ScoreConfig(length=GNMT(alpha=0.8)),
    "bonus": ScoreConfig(length=PerTokenBonus(bonus=0.7)),
    "malus": ScoreConfig(length=PerTokenBonus(bonus=-0.7)),
    "coverage": ScoreConfig(coverage_weight=0.8, coverage_threshold=0.3),
    "end_threshold": ScoreConfig(end_threshold=1.1),
    "all": ScoreConfig(
        ctc_weight=0.3,
        length=PerCharacter(symbol_widths=WIDTHS),
        coverage_weight=0.1,
        end_threshold=1.5,
    ),
}
each_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
LIMIT = LimitConfig(tokens_per_position=1.0, at_least=8)


def toy(seed: int = 0, **numbers) -> ToyRecogniser:
    torch.manual_seed(seed)
    return ToyRecogniser(**numbers).eval()


def same(actual: Hypothesis, true, atol: float = 1e-4) -> None:
    """A hypothesis equals one of the reference (a Path), or another hypothesis."""
    ids = list(true.ids if isinstance(true, Hypothesis) else true.tokens)
    assert list(actual.ids) == ids
    assert actual.finished == true.finished
    assert actual.score == pytest.approx(true.score, abs=atol)
    assert actual.terms == pytest.approx(true.terms, abs=atol)


@pytest.mark.parametrize("seed", range(5))
def test_law_7_beam_1_is_greedy(seed):
    model, given = toy(seed), utterances(14, 9, 22, 3, 40, 1)
    greedy = recognise(model, *given, Greedy())
    beam = recognise(model, *given, Beam(size=1))
    for (one,), (other,) in zip(greedy, beam, strict=True):
        same(one, other, atol=1e-5)
        torch.testing.assert_close(one.alignment, other.alignment)
        torch.testing.assert_close(one.token_log_probs, other.token_log_probs)
    assert len({one.tokens for (one,) in greedy}) > 1  # they do differ


@each_score
@pytest.mark.parametrize("lm", [0.0, 0.6], ids=["alone", "fused"])
def test_law_7_equals_a_naive_search_that_never_stops_early(score, lm):
    beam = Beam(size=3, n_best=3, score=score, limit=LIMIT)
    for seed in range(2):
        model = toy(seed)
        scorers = fused(lm) if lm else ()
        features, lengths = utterances(12, 19, 2)
        found = recognise(model, features, lengths, beam, scorers=scorers)
        with torch.inference_mode():
            for row, own in enumerate(found):
                reference = naive_beam(model, features[row, : lengths[row]], beam, scorers)
                assert len(own) == len(reference)
                for one, other in zip(own, reference, strict=True):
                    same(one, other)
                    alignment = torch.cat(other.weights).view(len(other.tokens), -1)
                    torch.testing.assert_close(one.alignment, alignment, atol=1e-4, rtol=0)


@each_score
def test_law_7_a_wide_beam_finds_the_optimum_among_all_transcripts(score):
    if isinstance(score.length, PerCharacter) and score.length.symbol_widths:
        score = dataclasses.replace(score, length=PerCharacter(symbol_widths=WIDTHS[:7]))
    limit = LimitConfig(tokens_per_position=0.0, at_least=4)
    beam = Beam(size=81, n_best=5, score=score, limit=limit)
    scorers = fused(0.4, symbols=7)
    for seed in range(3):
        model = toy(seed, symbols=7, ending=0.3)  # the controls and three symbols
        features, lengths = utterances(7, 2)
        found = recognise(model, features, lengths, beam, scorers=scorers)
        with torch.inference_mode():
            for row, own in enumerate(found):
                true = everything(model, features[row, : lengths[row]], beam, scorers)
                spelled = score.end_threshold is None and not score.ctc_weight
                assert len(true) == 1 + 3 + 9 + 27 or not spelled
                assert len(own) == min(5, len(true)) or not own[-1].finished
                for one, other in zip(own, true[:5], strict=False):
                    same(one, other)


FRAMES = tuple(3 + 5 * i % 17 for i in range(32))


@pytest.mark.parametrize("strategy", [Greedy(), Beam(size=4, n_best=2, score=SCORES["all"])])
def test_law_7_a_batch_is_its_rows_token_for_token(strategy):
    model = toy(1)
    scorers = () if isinstance(strategy, Greedy) else fused()
    features, lengths = utterances(*FRAMES)

    def run(rows: list[int]) -> list[list[Hypothesis]]:
        own = lengths[rows]
        return recognise(model, features[rows, : int(own.max())], own, strategy, scorers=scorers)

    alone = [run([row])[0] for row in range(len(FRAMES))]
    shuffled = torch.randperm(len(FRAMES)).tolist()
    for order in (list(range(2)), list(range(8)), list(range(32)), shuffled):
        for row, own in zip(order, run(order), strict=True):
            for one, other in zip(own, alone[row], strict=True):
                same(one, other)
                assert one.alignment.shape == (len(one.ids), -(-FRAMES[row] // 2))
                torch.testing.assert_close(one.alignment, other.alignment, atol=1e-4, rtol=0)


def test_trap_19_20_states_and_alignments_go_with_their_hypothesis():
    """Fed again alone, each hypothesis is read at the same places and scores the same."""
    model, given, score = toy(2), utterances(14, 30, 22, 9), SCORES["all"]
    found = recognise(model, *given, Beam(size=6, n_best=6, score=score), scorers=fused())
    again = rescore(
        model, *given, [[one.ids for one in own] for own in found], score, scorers=fused()
    )
    for own, others in zip(found, again, strict=True):
        assert len({one.ids for one in own}) == len(own) > 1
        for one, other in zip(own, others, strict=True):
            same(one, other)
            torch.testing.assert_close(one.alignment, other.alignment, atol=1e-4, rtol=0)
            torch.testing.assert_close(one.token_log_probs, other.token_log_probs)


def test_trap_21_an_unfinished_hypothesis_is_flagged_and_never_outranks_a_finished_one():
    model = toy(0, ending=0.0)
    with torch.no_grad():
        model.speller.symbols.bias[EOS] -= 3.0
    limit = LimitConfig(tokens_per_position=0.0, at_least=3)
    own = recognise(model, *utterances(20), Beam(size=8, n_best=8, limit=limit))[0]
    finished = [one.finished for one in own]
    assert finished == sorted(finished, reverse=True)
    assert len(set(finished)) == 2
    worst = min(one.score for one in own if one.finished)
    assert max(one.score for one in own if not one.finished) > worst  # so the flag decided


@pytest.mark.parametrize("beam", [0, 4])
def test_trap_22_23_limits_come_from_each_row_and_the_last_token_stays(beam):
    model = toy(0)
    with torch.no_grad():
        model.speller.symbols.bias[EOS] -= 1e4  # it never ends
    limit = LimitConfig(tokens_per_position=1.5, at_least=4)
    chosen = Beam(size=beam, limit=limit) if beam else Greedy(limit=limit)
    found = recognise(model, *utterances(20, 2, 7, 40), chosen)
    for (one, *_), limit in zip(found, (15, 4, 6, 30), strict=True):
        assert len(one.tokens) == len(one.token_log_probs) == len(one.alignment) == limit
        assert not one.finished
        assert one.ids == one.tokens
        assert EOS not in one.tokens


def test_trap_24_eos_counts_in_every_length():
    model, given = toy(3), utterances(14)

    def only(rule, **numbers) -> Hypothesis:
        return recognise(model, *given, Beam(score=ScoreConfig(length=rule, **numbers)))[0][0]

    one = only(PerToken())
    assert one.score == pytest.approx(one.log_prob / (len(one.tokens) + 1), abs=1e-5)
    one = only(PerCharacter(symbol_widths=WIDTHS))
    characters = sum(WIDTHS[token] for token in one.tokens) + 1
    assert one.score == pytest.approx(one.log_prob / characters, abs=1e-5)
    one = only(GNMT(alpha=0.8))
    penalty = ((5 + len(one.tokens) + 1) / 6) ** 0.8
    assert one.score == pytest.approx(one.log_prob / penalty, abs=1e-5)
    one = only(PerTokenBonus(bonus=0.7))
    assert one.terms["length"] == pytest.approx(0.7 * (len(one.tokens) + 1))


@pytest.mark.parametrize("strategy", [Greedy(), Beam(size=4, n_best=4)])
def test_trap_25_pad_sos_and_blank_are_never_written(strategy):
    assert len({PAD, EOS, SOS, BLANK}) == 4
    vocabulary = Vocabulary.transcripts("abc")
    assert vocabulary.encode("a")[0] > max(PAD, EOS, SOS, BLANK)
    model = toy(0)
    step = model.speller.step

    def eager(tokens, state):
        spelled = step(tokens, state)
        log_probs = spelled.log_probs.clone()
        log_probs[:, [PAD, SOS, BLANK]] = 0.0  # they seem likelier than all else
        return spelled._replace(log_probs=log_probs)

    model.speller.step = eager
    for own in recognise(model, *utterances(14, 9), strategy):
        assert own[0].tokens
        assert not {PAD, EOS, SOS, BLANK} & {token for one in own for token in one.tokens}


def test_the_search_ends_when_no_open_hypothesis_can_win():
    model = toy(0, ending=2.0)
    roomy = LimitConfig(tokens_per_position=0.0, at_least=200)
    for score in (ScoreConfig(), ScoreConfig(ctc_weight=0.3), ScoreConfig(length=PerToken())):
        model.speller.steps = 0
        recognise(model, *utterances(14, 30), Beam(size=4, score=score, limit=roomy))
        assert model.speller.steps < 40


def test_the_search_ends_by_the_bound_alone_where_nothing_more_ends():
    """eos may follow the best of three steps, and nothing else: what is open only falls behind."""
    model = toy(0)
    step, steps = model.speller.step, []

    def once(tokens, state):
        spelled = step(tokens, state)
        steps.append(len(tokens))
        log_probs = spelled.log_probs.clone()
        log_probs[:, EOS] = -1e4
        if len(steps) == 3:  # a little less likely than the best that goes on
            log_probs[0, EOS] = log_probs[0].max() - 0.2
        return spelled._replace(log_probs=log_probs)

    model.speller.step = once
    roomy = LimitConfig(tokens_per_position=0.0, at_least=200)
    own = recognise(model, *utterances(14), Beam(size=4, limit=roomy))[0]
    assert len(own[0].ids) == 3
    assert 3 < len(steps) < 60


def test_an_utterance_that_is_done_takes_no_part_in_further_steps():
    model, rows = toy(0), []
    step = model.speller.step

    def counted(tokens, state):
        rows.append(len(tokens))
        return step(tokens, state)

    model.speller.step = counted
    limit = LimitConfig(tokens_per_position=0.5, at_least=1)
    recognise(model, *utterances(40, 4), Beam(size=4, limit=limit))
    assert rows[0] == 2
    assert rows[1] <= 8
    assert max(rows[2:]) == 4
    rows.clear()
    recognise(model, *utterances(40, 4), Greedy(limit=limit))
    assert rows[:2] == [2, 1] or rows == [2]


def test_every_score_is_the_sum_of_its_terms_and_every_list_is_in_order():
    score = SCORES["all"]
    beam = Beam(size=6, n_best=6, score=score)
    for own in recognise(toy(1), *utterances(14, 30), beam, scorers=fused()):
        for one in own:
            assert one.score == sum(one.terms.values())
            assert list(one.terms) == ["attention", "ctc", "language", "coverage"]
            assert one.finished == (one.ids[-1] == EOS)
            assert EOS not in one.tokens
        scores = [one.score for one in own if one.finished]
        assert scores == sorted(scores, reverse=True)
