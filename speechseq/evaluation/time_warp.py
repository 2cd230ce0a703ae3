"""F0 frame error of two utterances of one text, aligned by dynamic time warping."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.audio.cepstrum import cepstrum
from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.audio.prosody import HOP, prosody
from speechseq.evaluation.prosody import f0_frame_error
from speechseq.evaluation.style_card import lengthened

_COEFFICIENTS = 13
_HIGHEST = 8000.0  # Hz


def warped_f0_error(
    ours: Float[Tensor, " ours"], real: Float[Tensor, " real"], sample_rate: int
) -> float:
    """F0 frame error of synthesised speech against a recording of the same text, 0 to 1.

    The two utterances are aligned by dynamic time warping of 13 mel cepstra without the level, so
    that neither loudness nor speed counts. The error is the share of the recording's frames whose
    F0 is wrong, see `f0_frame_error`.

    Args:
        ours: synthesised speech (samples,).
        real: recording (samples,).
        sample_rate: samples per second of both.

    Raises:
        DataError: a waveform has NaN or infinity.
    """
    waveforms = [lengthened(waveform, sample_rate)[None] for waveform in (ours, real)]
    f0 = [prosody(waveform, sample_rate).f0[0] for waveform in waveforms]
    config = AudioConfig(sample_rate=sample_rate, hop=HOP, fmax=min(_HIGHEST, sample_rate / 2))
    first, second = (
        cepstrum(log_mel(waveform, config), _COEFFICIENTS)[0].double() for waveform in waveforms
    )
    path = warping_path(torch.cdist(first, second).numpy())
    aligned = f0[0][_partners(path, len(f0[1]))]
    return float(f0_frame_error(aligned[None], f0[1][None])[0])


def warping_path(cost: Float[np.ndarray, "first second"]) -> Int[np.ndarray, "steps 2"]:
    """Find the path of the lowest summed cost from the first pair of frames to the last.

    Each step advances by one frame in the first utterance, in the second, or in both.

    Args:
        cost: (first, second), cost of pairing frame i of one utterance with frame j of the other.

    Returns:
        (steps, 2), the pairs (i, j) on the path.

    Source: Sakoe and Chiba 1978, "Dynamic programming algorithm optimization for spoken word
    recognition", without slope constraints.
    """
    first, second = cost.shape
    total = np.full((first + 1, second + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(2, first + second + 1):  # whose cells depend on earlier ones alone
        i = np.arange(max(1, diagonal - second), min(first, diagonal - 1) + 1)
        j = diagonal - i
        before = np.minimum(total[i - 1, j - 1], np.minimum(total[i - 1, j], total[i, j - 1]))
        total[i, j] = cost[i - 1, j - 1] + before
    i, j = first, second
    path = [(i - 1, j - 1)]
    while (i, j) != (1, 1):
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda cell: total[cell])
        path.append((i - 1, j - 1))
    return np.array(path[::-1])


def _partners(path: Int[np.ndarray, "steps 2"], frames: int) -> Tensor:
    """Middle of the first utterance's frames that each frame of the second is paired with."""
    sums, counts = (
        np.bincount(path[:, 1], weights=weights, minlength=frames) for weights in (path[:, 0], None)
    )
    return torch.from_numpy(np.rint(sums / counts).astype(np.int64))
