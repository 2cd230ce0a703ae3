"""Learning: a toy Tacotron learns to read by heart, and then speaks it by itself."""

import pytest
import torch
from tiny_tacotron import TINY, padded, without_dropout
from torch import Tensor
from unchecked import unchecked

from speechseq.batch import TTSBatch
from speechseq.models.decoder_stack import LSTMStackConfig, ResidualGRUStackConfig
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig

SYMBOLS, MELS, BINS, HOLD = 5, 8, 11, 4
TEXTS = ([0, 1, 2, 3], [3, 1, 4], [2, 4, 0, 1, 3])


def patterns(bands: int) -> Tensor:
    """Make a mel pattern for each symbol: HOLD frames that rise and fall in its own bands."""
    symbol = torch.arange(SYMBOLS)[:, None, None]
    frame = torch.arange(HOLD)[None, :, None]
    band = torch.arange(bands)[None, None]
    return torch.sin(1.3 * symbol + 0.7 * band + 0.8 * frame * (1 + symbol % 2))


def corpus() -> TTSBatch:
    tokens = [torch.tensor(text) for text in TEXTS]
    mels = [patterns(MELS)[text].flatten(0, 1) for text in tokens]
    linear = [patterns(BINS)[text].flatten(0, 1) for text in tokens]
    return TTSBatch(
        tokens=padded(tokens),
        token_lengths=torch.tensor([len(text) for text in TEXTS]),
        mel=padded(mels, -9.0),
        frame_lengths=torch.tensor([len(mel) for mel in mels]),
        log_magnitude=padded(linear, -9.0),
    )


def config(name: str) -> TacotronConfig:
    """Wider than the tiny ones and without dropout: by heart is what is asked for."""
    if name == "tacotron1":
        sizes = {
            "attention": ContentConfig(dim=32),
            "stack": ResidualGRUStackConfig(layers=2, dim=48),
        }
    else:
        sizes = {
            "reduction_factor": 2,
            "attention": LocationSensitiveConfig(dim=32, filters=8, kernel=5),
            "stack": LSTMStackConfig(layers=1, dim=64),
        }
    return without_dropout(TINY[name](prenet=(32, 16), attention_rnn_dim=48, **sizes))


def train(model: Tacotron, batch: TTSBatch, updates: int) -> list[float]:
    loss = TacotronLoss(TacotronLossConfig(l1=1.0, guide=1.0, guide_sigma=0.2))
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates, 1e-4)
    totals = []
    for _ in range(updates):
        total = loss(model(batch), batch).total
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        totals.append(total.item())
    return totals


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_tacotron_learns_three_utterances_by_heart_and_speaks_them(name):
    batch = corpus()
    model = config(name).build(symbols=SYMBOLS, mels=MELS, bins=BINS)
    train(model, batch, 1)  # with the annotations executed
    with unchecked():
        totals = train(model, batch, 200)
    assert totals[-1] < 0.1 * totals[0]
    spoken = model.generate(batch.tokens, batch.token_lengths)
    assert spoken.finished_reason == ("stop",) * 3
    assert spoken.frame_lengths.tolist() == batch.frame_lengths.tolist()
    for row, frames in enumerate(batch.frame_lengths.tolist()):
        error = (spoken.mel_after - batch.mel[:, : spoken.mel_after.shape[1]])[row, :frames]
        assert error.abs().mean() < 0.2  # of values whose mean size is 0.64
        if name == "tacotron1":
            error = (spoken.log_magnitude - batch.log_magnitude)[row, :frames]
            assert error.abs().mean() < 0.2
