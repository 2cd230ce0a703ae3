"""CTC prefix probabilities against all paths, written out, and against torch's own CTC."""

import itertools
import math

import pytest
import torch
from naive_beam import prefix_scores
from torch import Tensor
from torch.nn import functional as F

from speechseq.inference.search.ctc_prefix import CTCPrefix, CTCState
from speechseq.nn.rows import select_rows
from speechseq.text.vocabulary import BLANK, EOS

SYMBOLS = (4, 5, 6)


def log_probs(*shape: int, spread: float = 2.0) -> Tensor:
    logits = spread * torch.randn(*shape, 7)
    logits[..., [0, 1, 2]] = -1e30
    return logits.log_softmax(-1)


def walked(prefix: CTCPrefix, *tokens: int) -> CTCState:
    """The state after the tokens, in a batch of one."""
    state = prefix.start()
    for token in tokens:
        state = prefix.extend(state, torch.tensor([token]))
    return state


def spelt(path: tuple[int, ...]) -> tuple[int, ...]:
    """Repeats joined, then blanks left out."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


@pytest.mark.parametrize("positions", [1, 2, 4, 5])
def test_equals_the_sum_over_all_paths(positions):
    given = log_probs(1, positions)
    every = dict.fromkeys(itertools.product((BLANK, *SYMBOLS), repeat=positions), 0.0)
    for path in every:
        steps = given[0, torch.arange(positions), torch.tensor(path)]
        every[path] = float(steps.double().sum().exp())
    prefix = CTCPrefix(given, torch.tensor([positions]))
    for size in range(4):
        for tokens in itertools.product(SYMBOLS, repeat=size):
            found = prefix.candidates(walked(prefix, *tokens))[0].exp()
            whole = sum(p for path, p in every.items() if spelt(path) == tokens)
            assert float(found[EOS]) == pytest.approx(whole, abs=1e-6)
            for symbol in SYMBOLS:
                longer = (*tokens, symbol)
                begun = sum(p for path, p in every.items() if spelt(path)[: size + 1] == longer)
                assert float(found[symbol]) == pytest.approx(begun, abs=1e-6)


def test_whole_hypotheses_equal_torch_ctc_loss():
    lengths = torch.tensor([60, 43, 12])
    given = log_probs(3, 60, spread=3.0)
    targets = torch.randint(4, 7, (3, 6))
    targets[:, 3] = targets[:, 2]  # a repeat needs a blank between
    prefix = CTCPrefix(
        given.masked_fill((torch.arange(60) >= lengths[:, None])[..., None], 9.0), lengths
    )
    state = prefix.start()
    for token in targets.unbind(1):
        state = prefix.extend(state, token)
    true = F.ctc_loss(
        given.transpose(0, 1),
        targets,
        lengths,
        torch.tensor([6, 6, 6]),
        blank=BLANK,
        reduction="none",
    )
    found = -prefix.candidates(state)[:, EOS].float()
    torch.testing.assert_close(found, true, rtol=1e-5, atol=1e-4)


def test_rows_of_hypotheses_equal_each_of_them_alone():
    """Blocks of three hypotheses for two utterances, one of which then leaves."""
    lengths = torch.tensor([9, 4])
    given = log_probs(2, 9)
    prefix = CTCPrefix(given, lengths)
    paths = [[(4, 5), (5, 5), (6, 4)], [(4, 4), (6, 5), (5, 6)]]
    state = select_rows(prefix.start(), torch.tensor([0, 0, 0, 1, 1, 1]))
    for step in range(2):
        tokens = torch.tensor([path[step] for own in paths for path in own])
        state = prefix.extend(state, tokens)
    found = prefix.candidates(state)
    for row, path in enumerate(paths[0] + paths[1]):
        utterance, length = row // 3, int(lengths[row // 3])
        true = prefix_scores(given[utterance, :length].double(), list(path))
        torch.testing.assert_close(found[row, [1, 4, 5, 6]], true[[1, 4, 5, 6]])
    alone = prefix.select(torch.tensor([1]))
    kept = select_rows(state, torch.tensor([5, 3]))
    torch.testing.assert_close(alone.candidates(kept), found[[5, 3]])


def test_a_prefix_is_as_likely_as_its_end_and_all_its_continuations():
    prefix = CTCPrefix(log_probs(1, 90, spread=6.0), torch.tensor([90]))
    state, before = prefix.start(), 0.0
    for token in (4, 4, 6, 5, 4, 6, 6, 6) * 7:
        found = prefix.candidates(state)[0]
        assert float(found[[1, 4, 5, 6]].logsumexp(0)) == pytest.approx(before, abs=1e-3)
        before = float(found[token])
        state = prefix.extend(state, torch.tensor([token]))
    assert before < -100  # far below what single precision holds as a number


def test_what_no_path_can_spell_is_impossible_also_in_a_padded_batch():
    given = log_probs(2, 50)
    prefix = CTCPrefix(given, torch.tensor([3, 50]))
    state = prefix.start()
    for token in (4, 4, 5):
        state = prefix.extend(state, torch.tensor([token, token]))
    found = prefix.candidates(state)
    assert all(found[0, symbol] == -math.inf for symbol in (EOS, *SYMBOLS))
    assert found[1, [EOS, *SYMBOLS]].isfinite().all()
