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
    """Return the share of the mel's error that the right text saves: 0 if the text is not used.

    The batch is read again with the text of another row in each row. Without a second text, the
    gain is NaN.
    """
    if len(batch) < 2:
        return math.nan
    tokens, lengths = batch.tokens.roll(1, 0), batch.token_lengths.roll(1, 0)
    other = model(dataclasses.replace(batch, tokens=tokens, token_lengths=lengths))
    right, wrong = (_error(x.mel_before, batch) for x in (output, other))
    return 1 - right / max(wrong, 1e-9)


def mel_skill(output: TacotronOutput, batch: TTSBatch) -> float:
    """Return the share of the mels' variance that is predicted: 0 for the mean frame everywhere.

    It is 1 - (mean squared error) / (variance of each band over all valid frames).
    """
    mask = length_mask(batch.frame_lengths, batch.mel.shape[1])
    missed = valid_difference(output.mel_after, batch.mel, mask).square().sum()
    frames = batch.mel[mask].float()
    return 1 - float(missed / (frames - frames.mean(0)).square().sum().clamp(min=1e-9))


def stop_skill(stop_logits: StopLogits, step_lengths: Lengths) -> float:
    """Return the share of the uncertainty about the last step that the stop logits remove.

    It is 1 - (cross-entropy) / (entropy of the share of last steps among all): 1 for a head that
    knows, 0 for one that knows the average length only, below 0 for one that is worse than that. It
    is NaN if every utterance has one step.
    """
    share = len(step_lengths) / float(step_lengths.sum())
    if share == 1:
        return math.nan
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    return 1 - float(stop_loss(stop_logits, step_lengths)) / entropy


class Movement:
    """Measures how far each part of a model has moved since the last call, on a sample of weights.

    The result of `read` is the norm of the change over the norm of the weights, by "moved_" and the
    part's name: 0 for a part that is not trained. The first call has nothing to compare with.
    """

    def __init__(self) -> None:
        self._before: dict[str, Tensor] = {}

    def read(self, model: nn.Module) -> dict[str, float]:
        """Return the changes by name; {} at the first call."""
        now = {name: part for name, child in model.named_children() if len(part := _sample(child))}
        before, self._before = self._before, now
        return {
            f"{MOVED}{name}": float((part - before[name]).norm() / before[name].norm())
            for name, part in now.items()
            if name in before and len(before[name]) == len(part)
        }


def free_running(model: Tacotron, batch: TTSBatch, rows: int = 8) -> dict[str, float]:
    """Return the scores of the first rows of a batch read without the true frames, by name.

    A row is read for at most one and a half times the true number of steps.
    """
    kept = min(rows, len(batch))
    speaker = None if batch.speaker is None else batch.speaker[:kept]
    longest = -(-int(batch.frame_lengths[:kept].max()) // model.config.decoder.reduction_factor)
    texts = batch.tokens[:kept], batch.token_lengths[:kept]
    spoken = model.generate(*texts, seed=0, max_steps=math.ceil(1.5 * longest), speaker=speaker)
    return measure(spoken.alignment, spoken.step_lengths, texts[1], spoken.stop_logits)


def weight_size(model: nn.Module) -> float:
    """Return the median size of a sample of a model's weights, without those of exactly 0."""
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
