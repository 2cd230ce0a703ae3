"""Probes of a Tacotron in training: what it gets from the text, and from its own frames."""

import dataclasses
import math

import torch
from torch import Tensor, nn

from speechseq.batch import TTSBatch
from speechseq.models.losses import stop_loss, valid_difference
from speechseq.models.tacotron import Tacotron
from speechseq.models.tacotron_output import TacotronOutput
from speechseq.nn.masks import length_mask
from speechseq.shapes import Lengths, StopLogits
from speechseq.training.doctor import measure
from speechseq.training.finding import MOVED

_SAMPLE = 1000  # weights of each parameter that are compared


def text_gain(model: nn.Module, batch: TTSBatch, output: TacotronOutput) -> float:
    """Measure how much a Tacotron uses its text: the share of the mel's error that it saves.

    The mels of the batch are predicted once more, with another row's text in each row. The gain is
    1 - (error with the right text) / (error with the wrong one). 0 means that the text is not used.
    NaN if the batch has one row.

    Args:
        model: the Tacotron, teacher-forced.
        batch: texts and mels.
        output: output of the model for the batch.
    """
    if len(batch) < 2:
        return math.nan
    tokens, lengths = batch.tokens.roll(1, 0), batch.token_lengths.roll(1, 0)
    other = model(dataclasses.replace(batch, tokens=tokens, token_lengths=lengths))
    right, wrong = (_error(x.mel_before, batch) for x in (output, other))
    return 1 - right / max(wrong, 1e-9)


def mel_skill(output: TacotronOutput, batch: TTSBatch) -> float:
    """Return the share of the mels' variance that a Tacotron predicts: 1 is perfect.

    It is 1 - (mean squared error) / (variance of each band over all valid frames): 0 for a model
    that always predicts the mean frame.

    Args:
        output: output of the model for the batch.
        batch: batch with the true mels.
    """
    mask = length_mask(batch.frame_lengths, batch.mel.shape[1])
    missed = valid_difference(output.mel_after, batch.mel, mask).square().sum()
    frames = batch.mel[mask].float()
    return 1 - float(missed / (frames - frames.mean(0)).square().sum().clamp(min=1e-9))


def stop_skill(stop_logits: StopLogits, step_lengths: Lengths) -> float:
    """Compare the stop decisions of a Tacotron with a guess by the average length.

    It is 1 - (cross-entropy of the stop logits) / (entropy of the share of last steps among all
    steps): 1 for perfect decisions, 0 for that guess, negative for worse ones. NaN if every
    utterance has one step.

    Args:
        stop_logits: (batch, steps).
        step_lengths: (batch), number of valid steps.
    """
    share = len(step_lengths) / float(step_lengths.sum())
    if share == 1:
        return math.nan
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    return 1 - float(stop_loss(stop_logits, step_lengths)) / entropy


class Movement:
    """Measures how far each part of a model moves between two calls of `read`.

    A change is the norm of the difference over the norm of the weights, on a sample of the weights:
    0 for a part that is not trained.
    """

    def __init__(self) -> None:
        self._before: dict[str, Tensor] = {}

    def read(self, model: nn.Module) -> dict[str, float]:
        """Return the changes since the last call, by "moved_" and the part's name; {} at first."""
        now = {name: part for name, child in model.named_children() if len(part := _sample(child))}
        before, self._before = self._before, now
        return {
            f"{MOVED}{name}": float((part - before[name]).norm() / before[name].norm())
            for name, part in now.items()
            if name in before and len(before[name]) == len(part)
        }


def free_running(model: Tacotron, batch: TTSBatch, rows: int = 8) -> dict[str, float]:
    """Synthesise the first rows of a batch without the true frames, and score the alignments.

    The synthesis of a row ends after one and a half times the true number of steps. The scores are
    those of `doctor.measure`, by name.

    Args:
        model: the Tacotron.
        batch: texts, and the mels that give the true numbers of steps.
        rows: number of rows.
    """
    kept = min(rows, len(batch))
    speaker = None if batch.speaker is None else batch.speaker[:kept]
    longest = -(-int(batch.frame_lengths[:kept].max()) // model.config.decoder.reduction_factor)
    texts = batch.tokens[:kept], batch.token_lengths[:kept]
    spoken = model.generate(*texts, seed=0, max_steps=math.ceil(1.5 * longest), speaker=speaker)
    return measure(spoken.alignment, spoken.step_lengths, texts[1], spoken.stop_logits)


def weight_size(model: nn.Module) -> float:
    """Return the median absolute value of a sample of a model's weights; zeros are left out."""
    sizes = _sample(model).abs()
    return float(sizes[sizes > 0].median())


def _sample(part: nn.Module) -> Tensor:
    pieces = [
        p.detach().flatten()[:: max(1, p.numel() // _SAMPLE)].float().cpu().clone()
        for p in part.parameters()
    ]
    return torch.cat(pieces) if pieces else torch.empty(0)


def _error(mel: Tensor, batch: TTSBatch) -> float:
    mask = length_mask(batch.frame_lengths, batch.mel.shape[1])
    return float(valid_difference(mel, batch.mel, mask).abs().mean())
