"""Facts of held-out texts and mels that decide whether attention can align; they need no model."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from speechseq.audio.mel import AudioConfig, expand
from speechseq.audio.mel_filters import mel_filters
from speechseq.batch import TTSBatch

FACTS = (
    "utterances",
    "text_diversity",
    "length_correlation",
    "length_range",
    "tempo_range",
    "tokens_per_second",
    "leading_silence",
    "level_spread",
    "centroid",
)
SILENT = 40.0  # dB below the loudest frame; the frames of speech differ by about 30 dB
_DEEP = 50.0  # dB below the loudest band, where the centroid's weights end


class Utterance(NamedTuple):
    """Measurements of the text and the mel of one utterance, made by `utterance_facts`.

    The level of a frame is that of its loudest mel band, as 20 log10 of the magnitude, in dB. A
    frame is silent if its level is 40 dB or more below that of the utterance's loudest frame.

    Attributes:
        text: ids of its tokens.
        frames: number of frames.
        quiet: number of silent frames at the beginning.
        moments: (number, sum of levels in dB, sum of their squares) over all mel bands of the
            frames that are not silent.
        centroid: mean frequency in Hz; a band's weight is its bandwidth times the dB by which its
            level exceeds the utterance's highest level minus 50 dB.
    """

    text: tuple[int, ...]
    frames: int
    quiet: int
    moments: tuple[float, ...]
    centroid: float


def corpus_facts(utterances: Sequence[Utterance], audio: AudioConfig) -> dict[str, float]:
    """Summarise the measurements of a corpus's utterances, as numbers by name.

    - "utterances": their number.
    - "text_diversity": entropy of the texts over its maximum: 1 if all differ, 0 if all are equal.
    - "length_correlation": correlation of the number of tokens with the seconds.
    - "length_range": 90 % quantile of the number of tokens, divided by the 10 % quantile.
    - "tempo_range": 90 % quantile of the seconds per token, divided by the 10 % quantile.
    - "tokens_per_second": median over utterances.
    - "leading_silence": median of the seconds before the first frame that is not silent.
    - "level_spread": standard deviation of the mels of frames that are not silent, in dB.
    - "centroid": median over utterances of the mean frequency, in Hz.

    Seconds are those after the leading silence. Values that are undefined are NaN.

    Args:
        utterances: at least one, from `utterance_facts`.
        audio: settings of the mels.
    """
    seen = utterances
    hop = audio.hop / audio.sample_rate
    tokens = torch.tensor([float(len(item.text)) for item in seen])
    seconds = torch.tensor([hop * (item.frames - item.quiet) for item in seen])
    ends = torch.tensor([0.1, 0.5, 0.9])
    short, _, long = tokens.quantile(ends).tolist()
    slow, usual, fast = (tokens / seconds).quantile(ends).tolist()
    return {
        "utterances": float(len(seen)),
        "text_diversity": _diversity([item.text for item in seen]),
        "length_correlation": _correlation(tokens, seconds),
        "length_range": long / short,
        "tempo_range": fast / slow,
        "tokens_per_second": usual,
        "leading_silence": hop * _median([float(item.quiet) for item in seen]),
        "level_spread": _deviation([item.moments for item in seen]),
        "centroid": _median([item.centroid for item in seen]),
    }


def utterance_facts(batch: TTSBatch, audio: AudioConfig) -> Iterator[Utterance]:
    """Yield the measurements of each utterance of a batch, from its text and its mel.

    Args:
        batch: texts, and the log-mels of their recordings.
        audio: settings that the mels should have; levels are read in its convention.
    """
    centres, widths = _bands(audio)
    for row in range(len(batch)):
        text = tuple(batch.tokens[row, : batch.token_lengths[row]].tolist())
        mel = batch.mel[row, : batch.frame_lengths[row]].float().cpu()
        levels = 20 / audio.power * expand(mel, audio).clamp(min=1e-30).log10()
        loudness = levels.amax(1)
        heard = loudness > loudness.max() - SILENT
        speech = levels[heard].double()
        weights = (speech - speech.max() + _DEEP).clamp(min=0) * widths
        yield Utterance(
            text,
            len(mel),
            int(heard.int().argmax()),
            tuple(float(speech.pow(k).sum()) for k in (0, 1, 2)),
            float((weights * centres).sum() / weights.sum()),
        )


def _bands(audio: AudioConfig) -> tuple[Tensor, Tensor]:
    """Centre and width of the mel bands in Hz."""
    c = audio
    numbers = (c.sample_rate, c.n_fft, c.mels, c.fmin, c.fmax, c.mel_scale, c.area_norm)
    filters = mel_filters(*numbers, torch.device("cpu"), torch.float64, c.triangles)
    hertz = torch.linspace(0, c.sample_rate / 2, len(filters), dtype=torch.float64)
    sums = filters.sum(0)
    centres = (filters * hertz[:, None]).sum(0) / sums.clamp(min=1e-30)
    return centres, centres.diff(append=centres.new_tensor([c.fmax])).clamp(min=0)


def _diversity(texts: Sequence[tuple[int, ...]]) -> float:
    if len(texts) == 1:
        return math.nan
    counts = torch.tensor([texts.count(text) for text in set(texts)], dtype=torch.float32)
    return float(torch.special.entr(counts / len(texts)).sum()) / math.log(len(texts))


def _correlation(tokens: Tensor, seconds: Tensor) -> float:
    if len(tokens) < 2 or not tokens.std() or not seconds.std():
        return math.nan
    return float(torch.corrcoef(torch.stack([tokens, seconds]))[0, 1])


def _median(values: Sequence[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float32).median())


def _deviation(moments: Sequence[tuple[float, ...]]) -> float:
    count, total, square = (sum(column) for column in zip(*moments, strict=True))
    return math.sqrt(max(square / count - (total / count) ** 2, 0.0))
