"""Cuts to one padded batch: lengths counted exactly, silence as padding, nothing of length 0."""

import warnings
from collections.abc import Callable, Sequence

import torch
from lhotse import CutSet, MonoCut
from torch import Tensor

from speechseq.audio.mel import AudioConfig, compress, magnitude
from speechseq.audio.wav import WavWarning
from speechseq.batch import TTSBatch
from speechseq.corpus import features
from speechseq.corpus.texts import Texts, lengths, padded
from speechseq.errors import ConfigError, DataError
from speechseq.text.normalize import normalize
from speechseq.text.vocabulary import PAD, Vocabulary


class TTSCollate:
    """Turns a list of cuts into a TTSBatch.

    Args:
        vocabulary: encodes the text of each cut's supervision.
        audio: settings of the mels (and of `features.compute`, when they come from a cache).
        frame_multiple: each item's own frames are rounded up to a multiple of it with silent
            frames that count as valid, so that a decoder's last step of r frames is all learned.
        log_magnitude: also make the linear-frequency target, from the sound, of as many frames.
        normalizer: what is done to a text before it is encoded; None for texts that are ready.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        audio: AudioConfig,
        *,
        frame_multiple: int = 1,
        log_magnitude: bool = False,
        normalizer: Callable[[str], str] | None = normalize,
    ) -> None:
        if frame_multiple < 1:
            raise ConfigError(f"frame_multiple: {frame_multiple} is less than 1")
        self.audio = audio
        self.frame_multiple = frame_multiple
        self.log_magnitude = log_magnitude
        self._texts = Texts(vocabulary, normalizer)

    def check(self, cuts: CutSet) -> None:
        """Encode every text now, so that a bad one ends the run before it has begun.

        Raises:
            DataError: texts that are empty or hold unknown symbols; at most 50 are listed.
        """
        self._texts.check(cuts)

    def frames(self, cut: MonoCut) -> int:
        """The frames that the cut takes in a batch, told from its duration."""
        return self._rounded(features.frames(cut, self.audio))

    def __call__(self, cuts: Sequence[MonoCut]) -> TTSBatch:
        """The batch, items in the order of the cuts.

        Raises:
            DataError: a cut without text or frames, or with an unknown symbol; it is named.
        """
        if not cuts:
            raise DataError("a batch of no cuts")
        tokens = [self._texts.ids(cut) for cut in cuts]
        mels = [self._silence_after(cut.id, features.load_mel(cut, self.audio)) for cut in cuts]
        linear = [self._linear(cut) for cut in cuts] if self.log_magnitude else None
        return TTSBatch(
            tokens=padded(tokens, PAD),
            token_lengths=lengths(tokens),
            mel=padded(mels, self.audio.floor_value),
            frame_lengths=lengths(mels),
            log_magnitude=None if linear is None else padded(linear, self.audio.floor_value),
            ids=tuple(cut.id for cut in cuts),
        )

    def _linear(self, cut: MonoCut) -> Tensor:
        with warnings.catch_warnings():  # features.compute has said it
            warnings.simplefilter("ignore", WavWarning)
            sound = features.load_waveform(cut, self.audio)
        return self._silence_after(cut.id, compress(magnitude(sound, self.audio), self.audio)[0])

    def _silence_after(self, name: str, item: Tensor) -> Tensor:
        """(frames, channels) with silent frames up to the multiple."""
        if not len(item):
            raise DataError(f"{name}: 0 frames")
        more = self._rounded(len(item)) - len(item)
        silence = item.new_full((more, item.shape[1]), self.audio.floor_value)
        return torch.cat([item, silence]) if more else item

    def _rounded(self, frames: int) -> int:
        return -(-frames // self.frame_multiple) * self.frame_multiple
