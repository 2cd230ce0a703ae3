"""A LAS small enough for laws: every part present, its sizes all different."""

import dataclasses

import torch

from speechseq.batch import ASRBatch
from speechseq.models.las import LAS, LASConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import SpellerConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.text.vocabulary import EOS

SYMBOLS, FEATURES = 9, 6  # four controls and five symbols
FRAMES, TOKENS = (17, 4, 30, 9), (5, 1, 3, 2)


def tiny_config(**changes: object) -> LASConfig:
    config = LASConfig(
        listener=ListenerConfig(hidden=5, pyramid_layers=2),
        speller=SpellerConfig(
            embedding=4,
            layers=2,
            hidden=7,
            attention=LocationSensitiveConfig(dim=6, filters=3, kernel=5),
        ),
        ctc=True,
    )
    return dataclasses.replace(config, **changes)


def tiny_las(config: LASConfig | None = None, seed: int = 0) -> LAS:
    """Build a LAS in double precision, with weights so large that outputs differ."""
    torch.manual_seed(seed)
    model = (config or tiny_config()).build(symbols=SYMBOLS, features=FEATURES).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def tiny_batch(seed: int = 1, extra: int = 0, garbage: float = 0.0) -> ASRBatch:
    """Four utterances; `garbage` stands in the padding."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.full((4, max(FRAMES) + extra, FEATURES), garbage, dtype=torch.float64)
    tokens = torch.full((4, max(TOKENS) + extra), 0)
    for row, (frames, length) in enumerate(zip(FRAMES, TOKENS, strict=True)):
        features[row, :frames] = torch.randn(
            frames, FEATURES, generator=generator, dtype=torch.float64
        )
        tokens[row, : length - 1] = torch.randint(4, SYMBOLS, (length - 1,), generator=generator)
        tokens[row, length - 1] = EOS
    return ASRBatch(
        features=features,
        feature_lengths=torch.tensor(FRAMES),
        tokens=tokens,
        token_lengths=torch.tensor(TOKENS),
    )


def row_of(batch: ASRBatch, row: int) -> ASRBatch:
    """One utterance alone, without padding."""
    frames, length = int(batch.feature_lengths[row]), int(batch.token_lengths[row])
    return ASRBatch(
        features=batch.features[row : row + 1, :frames],
        feature_lengths=batch.feature_lengths[row : row + 1],
        tokens=batch.tokens[row : row + 1, :length],
        token_lengths=batch.token_lengths[row : row + 1],
    )
