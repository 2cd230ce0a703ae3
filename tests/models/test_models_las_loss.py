"""The recogniser's loss against torch's own, term by term."""

import pytest
import torch
from tiny_las import row_of, tiny_batch, tiny_config, tiny_las
from torch.nn import functional as F

from speechseq.errors import ConfigError
from speechseq.models.las_loss import LASLoss, LASLossConfig, ctc_loss, symbol_loss
from speechseq.text.vocabulary import BLANK, EOS


def test_symbol_loss_is_a_mean_over_valid_tokens():
    output, batch = tiny_las().eval()(tiny_batch()), tiny_batch(garbage=1e4)
    rows = [
        F.nll_loss(output.log_probs[i, :n], batch.tokens[i, :n], reduction="sum")
        for i, n in enumerate(batch.token_lengths.tolist())
    ]
    loss = symbol_loss(output.log_probs, batch.tokens, batch.token_lengths)
    torch.testing.assert_close(loss, sum(rows) / batch.token_lengths.sum())


def test_label_smoothing_is_torch_s_over_the_symbols_that_can_come():
    output, batch = tiny_las().eval()(tiny_batch()), tiny_batch()
    possible = [EOS, 4, 5, 6, 7, 8]
    logits = [output.log_probs[i, :n] for i, n in enumerate(batch.token_lengths.tolist())]
    targets = [batch.tokens[i, :n] for i, n in enumerate(batch.token_lengths.tolist())]
    place = torch.tensor([possible.index(int(t)) for t in torch.cat(targets)])
    true = F.cross_entropy(torch.cat(logits)[:, possible], place, label_smoothing=0.1)
    actual = symbol_loss(output.log_probs, batch.tokens, batch.token_lengths, 0.1)
    torch.testing.assert_close(actual, true)


def test_ctc_is_torch_s_of_each_utterance_alone_without_eos():
    model, batch = tiny_las().eval(), tiny_batch()
    output = model(batch)
    rows = []
    for i in range(len(batch)):
        one = row_of(batch, i)
        log_probs = model(one).ctc_log_probs
        target = one.tokens[:, :-1]
        assert EOS not in target
        sizes = torch.tensor([log_probs.shape[1]]), torch.tensor([target.shape[1]])
        rows.append(
            F.ctc_loss(log_probs.transpose(0, 1), target, *sizes, blank=BLANK, reduction="sum")
        )
    reachable = sum(row for row in rows if row.isfinite())
    loss = ctc_loss(output.ctc_log_probs, output.memory_lengths, batch)
    torch.testing.assert_close(loss, reachable / batch.token_lengths.sum())


def test_trap_6_nan_in_the_padding_reaches_neither_loss_nor_gradient():
    model = tiny_las()
    batch = tiny_batch(extra=3, garbage=float("nan"))
    loss = LASLoss(LASLossConfig(label_smoothing=0.1, ctc=0.4, guide=2.0))
    losses = loss(model(batch), batch)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_terms_add_up_and_ctc_warms_up_pure_attention():
    config = LASLossConfig(ctc=0.5, ctc_last=0.0, ctc_from=100, ctc_to=200, guide=1.0)
    assert [config.ctc_at(n) for n in (0, 100, 150, 200, 900)] == [0.5, 0.5, 0.25, 0.0, 0.0]
    output, batch = tiny_las().eval()(tiny_batch()), tiny_batch()
    early, late = (LASLoss(config)(output, batch, update=n) for n in (0, 200))
    assert set(early.terms) == {"attention", "ctc", "guide"}
    assert set(late.terms) == {"attention", "guide"}
    torch.testing.assert_close(early.total, sum(early.terms.values()))
    torch.testing.assert_close(2 * early.terms["attention"], late.terms["attention"])


def test_ctc_without_a_head_is_refused_by_name():
    output, batch = tiny_las(tiny_config(ctc=False)).eval()(tiny_batch()), tiny_batch()
    with pytest.raises(ConfigError, match="ctc: the model has no CTC head"):
        LASLoss(LASLossConfig(ctc=0.3))(output, batch)


@pytest.mark.parametrize("wrong", [{"ctc": 1.5}, {"label_smoothing": -0.1}, {"ctc_from": 5}])
def test_weights_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        LASLossConfig(**wrong)
