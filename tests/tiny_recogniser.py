"""A small recogniser that learned in seconds to spell tones: "a", "b", "c", and a space of quiet.

A symbol lasts 0.1 seconds, so that the place of every word is known.
"""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.batch import ASRBatch
from speechseq.models.las import LAS, LASConfig
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import SpellerConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.text.vocabulary import Vocabulary

RATE = 8000
SYMBOL = RATE // 10  # samples
AUDIO = AudioConfig(n_fft=256, hop=160, window=200, mels=12, sample_rate=RATE, fmax=4000.0)
VOCABULARY = Vocabulary.transcripts("abc ")
MODEL = LASConfig(
    listener=ListenerConfig(hidden=24, base_layers=1, pyramid_layers=1),
    speller=SpellerConfig(
        embedding=8,
        layers=1,
        hidden=48,
        attention=LocationSensitiveConfig(dim=16, filters=4, kernel=9),
    ),
)
_HERTZ = {"a": 400.0, "b": 900.0, "c": 1800.0}


def tones(text: str, seed: int = 0) -> Tensor:
    """The sound (samples,) of a text, over a little noise."""
    time = torch.arange(SYMBOL) / RATE
    fade = (5 * torch.hann_window(SYMBOL)).clamp(max=1)  # only a space is quiet for long
    parts = [
        torch.zeros(SYMBOL) if symbol == " " else torch.sin(2 * torch.pi * _HERTZ[symbol] * time)
        for symbol in text
    ]
    noise = torch.randn(len(text) * SYMBOL, generator=torch.Generator().manual_seed(seed))
    return 0.3 * torch.cat([part * fade for part in parts]) + 0.003 * noise


def words(count: int, seed: int) -> str:
    """Words of one to three symbols, none of them twice in a word."""
    draw = torch.Generator().manual_seed(seed)
    results = []
    for _ in range(count):
        length = int(torch.randint(1, 4, (), generator=draw))
        results.append("".join("abc"[i] for i in torch.randperm(3, generator=draw)[:length]))
    return " ".join(results)


@functools.cache
def learned() -> dict[str, Tensor]:
    """The trained weights, made by a process of its own: executed hints double the time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        subprocess.run([sys.executable, __file__, str(path)], check=True)
        return safetensors.torch.load_file(path)


def learn() -> dict[str, Tensor]:
    """Weights after 110 updates, with a guide along the diagonal; about 5 seconds."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = MODEL.build(symbols=len(VOCABULARY), features=AUDIO.features)
    criterion = LASLoss(LASLossConfig(guide=10.0, guide_sigma=0.2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [85], gamma=0.3)
    for update in range(110):
        batch = _batch(update, 1 + update // 20 if update < 40 else 2 + update % 3)
        optimizer.zero_grad()
        criterion(model(batch), batch).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.state_dict()


def tiny_recogniser() -> LAS:
    """The trained model."""
    model = MODEL.build(symbols=len(VOCABULARY), features=AUDIO.features).eval()
    model.load_state_dict(learned())
    return model


def save_recogniser(folder: Path) -> Path:
    """A checkpoint of that model."""
    return checkpoint.save(
        folder, model=MODEL, audio=AUDIO, vocabulary=VOCABULARY, weights=learned(), update=110
    )


def _batch(seed: int, longest: int) -> ASRBatch:
    texts = [words(longest, 1000 * seed + row) for row in range(16)]
    mels = [
        log_mel(_cut(tones(f" {text} ", seed), seed + row), AUDIO)[0]
        for row, text in enumerate(texts)
    ]
    tokens = [torch.tensor(VOCABULARY.encode(text)) for text in texts]
    return ASRBatch(
        features=pad_sequence(mels, batch_first=True),
        feature_lengths=torch.tensor([len(mel) for mel in mels]),
        tokens=pad_sequence(tokens, batch_first=True),
        token_lengths=torch.tensor([len(row) for row in tokens]),
    )


def _cut(waveform: Tensor, seed: int) -> Tensor:
    """(1, samples) without some of the first and last space: windows are cut anywhere in it."""
    begin, end = torch.randint(SYMBOL, (2,), generator=torch.Generator().manual_seed(seed)).tolist()
    return waveform[begin : len(waveform) - end].unsqueeze(0)


if __name__ == "__main__":
    safetensors.torch.save_file(learn(), sys.argv[1])
