"""Mel cepstra: the shape of a spectrum in a few numbers, without its level."""

import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from speechseq.shapes import Mel


def cepstrum(mel: Mel, coefficients: int) -> Float[Tensor, "batch frames coefficients"]:
    """Compute the mel cepstra (MFCCs without coefficient 0) of log-mels, by an orthonormal DCT-II.

    Coefficient 0, the level of the frame, is left out.

    Args:
        mel: (batch, frames, mels), with more than `coefficients` mels.
        coefficients: number of coefficients, which are those from 1 to `coefficients`.

    Returns:
        Cepstra (batch, frames, coefficients).

    Source: Davis and Mermelstein 1980, "Comparison of parametric representations for monosyllabic
    word recognition in continuously spoken sentences".

    Examples:
        >>> cepstrum(torch.zeros(1, 7, 80), 13).shape
        torch.Size([1, 7, 13])
    """
    basis = torchaudio.functional.create_dct(coefficients + 1, mel.shape[2], norm="ortho")
    return mel @ basis[:, 1:].to(mel)
