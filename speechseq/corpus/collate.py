"""Collation of cuts to a padded TTSBatch, with exact lengths and silence as padding."""

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from lhotse import CutSet, MonoCut
from torch import Tensor

from speechseq.audio.mel import AudioConfig, compress, magnitude
from speechseq.audio.wav import WavWarning
from speechseq.batch import TTSBatch
from speechseq.config import nearest
from speechseq.corpus import features
from speechseq.corpus.texts import Texts, lengths, padded
from speechseq.errors import ConfigError, DataError
from speechseq.text.vocabulary import PAD, Vocabulary


class TTSCollate:
    """Turns a list of lhotse cuts (utterances with sound and text) into a TTSBatch.

    Pass it to `Batches` as `collate`, or call it with a list of cuts.

    Args:
        vocabulary: vocabulary that encodes the text of each cut's supervision.
        audio: settings of the mels; the same as those of `features.compute` if mels are cached.
        frame_multiple: the model's reduction factor r (frames per decoder step). Each item is
            extended to a multiple of r by silent frames that count as valid, so that all r frames
            of the decoder's last step are learned.
        log_magnitude: also compute the linear-frequency target, with the same number of frames.
        normalizer: normaliser of texts before they are encoded. "vocabulary" takes that of the
            vocabulary, which the Synthesizer also uses; None leaves texts unchanged. A function
            must give the same result as the vocabulary's normaliser.
        speakers: names of the model's speakers, in the order of their ids; the speaker of each
            supervision must be one of them. Empty for a model of one voice.

    Examples:
        >>> collate = TTSCollate(vocabulary, audio, frame_multiple=5)
        >>> batch = collate(list(cuts))
        >>> bool((batch.frame_lengths % 5 == 0).all())
        True
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        audio: AudioConfig,
        *,
        frame_multiple: int = 1,
        log_magnitude: bool = False,
        normalizer: Callable[[str], str] | Literal["vocabulary"] | None = "vocabulary",
        speakers: Sequence[str] = (),
    ) -> None:
        if frame_multiple < 1:
            raise ConfigError(f"frame_multiple: {frame_multiple} is less than 1")
        self.audio = audio
        self.frame_multiple = frame_multiple
        self.log_magnitude = log_magnitude
        self._vocabulary = vocabulary
        self._speakers = {name: i for i, name in enumerate(speakers)}
        self._normalizer = None if isinstance(normalizer, str) else normalizer
        own = isinstance(normalizer, str)
        self._texts = Texts(vocabulary, vocabulary.normalize if own else self._ready)

    def check(self, cuts: CutSet) -> None:
        """Encode the text of every cut, so that a bad one is reported before training.

        Raises:
            DataError: texts are empty or have unknown symbols; at most 50 are listed.
        """
        self._texts.check(cuts)

    def frames(self, cut: MonoCut) -> int:
        """Number of mel frames of a cut, computed from its duration, without the sound."""
        return self._rounded(features.frames(cut, self.audio))

    def __call__(self, cuts: Sequence[MonoCut]) -> TTSBatch:
        """Make a batch; its items have the order of the cuts.

        Raises:
            DataError: a cut has no text, no frames, or an unknown symbol; the message names the
                cut.
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
            speaker=torch.tensor([self._speaker(cut) for cut in cuts]) if self._speakers else None,
            ids=tuple(cut.id for cut in cuts),
        )

    def _speaker(self, cut: MonoCut) -> int:
        name = cut.supervisions[0].speaker if cut.supervisions else None
        if name not in self._speakers:
            problem = f"{cut.id}: unknown speaker {name!r}"
            raise DataError(problem, nearest(name, self._speakers))
        return self._speakers[name]

    def _ready(self, text: str) -> str:
        """Normalise a text; refuse it if the vocabulary's normaliser would change the result."""
        ready = self._normalizer(text) if self._normalizer else text
        spoken = self._vocabulary.normalize(ready)
        if ready.strip() and self._vocabulary.encode(ready) != self._vocabulary.encode(spoken):
            raise DataError(
                f"the text {ready[:60]!r} is learned as it is, but a voice with this vocabulary "
                f"would read {spoken[:60]!r}",
                'build the vocabulary with normalizer="none", or TTSCollate without a normalizer',
            )
        return ready

    def _linear(self, cut: MonoCut) -> Tensor:
        with warnings.catch_warnings():  # features.compute has warned already
            warnings.simplefilter("ignore", WavWarning)
            sound = features.load_waveform(cut, self.audio)
        return self._silence_after(cut.id, compress(magnitude(sound, self.audio), self.audio)[0])

    def _silence_after(self, name: str, item: Tensor) -> Tensor:
        """Append silent frames to (frames, channels), up to the multiple."""
        if not len(item):
            raise DataError(f"{name}: 0 frames")
        more = self._rounded(len(item)) - len(item)
        silence = item.new_full((more, item.shape[1]), self.audio.floor_value)
        return torch.cat([item, silence]) if more else item

    def _rounded(self, frames: int) -> int:
        return -(-frames // self.frame_multiple) * self.frame_multiple
