"""Collation of cuts to a padded ASRBatch, with exact lengths; transcripts end with eos."""

from collections.abc import Callable, Sequence

from lhotse import CutSet, MonoCut
from torch import Tensor

from speechseq.audio.mel import AudioConfig
from speechseq.batch import ASRBatch
from speechseq.corpus import features
from speechseq.corpus.texts import Texts, lengths, padded
from speechseq.errors import ConfigError, DataError
from speechseq.text.vocabulary import PAD, Vocabulary


class ASRCollate:
    """Turns a list of lhotse cuts (utterances with sound and text) into an ASRBatch.

    Pass it to `Batches` as `collate`, or call it with a list of cuts.

    Args:
        vocabulary: vocabulary that encodes the text of each cut's supervisions, and appends eos.
        audio: settings of the features; the same as those of `features.compute` if mels are cached.
        normalizer: function that normalises a text before encoding; None leaves texts unchanged.

    Raises:
        ConfigError: the vocabulary does not append eos.

    Examples:
        >>> collate = ASRCollate(vocabulary, audio)
        >>> batch = collate(list(cuts))
        >>> len(batch) == len(cuts)
        True
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        audio: AudioConfig,
        normalizer: Callable[[str], str] | None = None,
    ) -> None:
        if not vocabulary.end:
            raise ConfigError(
                "the vocabulary does not close a transcript with eos, so none would ever end",
                "build it with Vocabulary.transcripts",
            )
        self.audio = audio
        self._texts = Texts(vocabulary, normalizer)

    def check(self, cuts: CutSet) -> None:
        """Encode the transcript of every cut, so that a bad one is reported before training.

        Raises:
            DataError: transcripts are empty or have unknown symbols; at most 50 are listed.
        """
        self._texts.check(cuts)

    def frames(self, cut: MonoCut) -> int:
        """Number of feature frames of a cut, computed from its duration, without the sound."""
        return features.frames(cut, self.audio)

    def __call__(self, cuts: Sequence[MonoCut]) -> ASRBatch:
        """Make a batch; its items have the order of the cuts.

        Raises:
            DataError: a cut has no text, no frames, or an unknown symbol; the message names the
                cut.
        """
        if not cuts:
            raise DataError("a batch of no cuts")
        tokens = [self._texts.ids(cut) for cut in cuts]
        items = [self._features(cut) for cut in cuts]
        return ASRBatch(
            features=padded(items, 0.0),
            feature_lengths=lengths(items),
            tokens=padded(tokens, PAD),
            token_lengths=lengths(tokens),
            ids=tuple(cut.id for cut in cuts),
        )

    def _features(self, cut: MonoCut) -> Tensor:
        frames = features.load_features(cut, self.audio)
        if not len(frames):
            raise DataError(f"{cut.id}: 0 frames", "leave it out: it is shorter than a frame")
        return frames
