"""Results of transcription: text, words with times, alignment, and n-best list."""

import dataclasses

from jaxtyping import Float
from torch import Tensor

from speechseq.inference.timestamps import Word

NO_SPEECH = 0.5  # a transcript whose `no_speech` is higher is marked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of the n best hypotheses of an utterance, as text.

    Attributes:
        score: the sum of `terms`, by which hypotheses are ranked.
        log_prob: log-probability under the model alone.
        terms: terms of the score by name, after weighting and normalisation.
        finished: False if the hypothesis reached the length limit before eos.
    """

    text: str
    score: float
    log_prob: float
    terms: dict[str, float]
    finished: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transcript:
    """Transcript of one utterance.

    Attributes:
        text, log_prob: text of the best hypothesis and its log-probability.
        finished: False if the best hypothesis reached the length limit before eos.
        words: words with times and confidences.
        tokens, token_confidences: ids, and the probability of each given the previous ids.
        symbols: a name for each step of the alignment, "<eos>" for the last when finished.
        alignment: (steps, positions), the attention weights; a position lasts
            `seconds_per_position`.
        n_best: the best hypotheses, the best first.
        seconds: duration of the sound.
        no_speech: probability, from 0 to 1, that the sound holds no speech: 1 - (1 - p) · c, where
            p is the probability of eos at the first step and c is the mean confidence of the
            tokens (1 without tokens). Above NO_SPEECH, trust no word of the text.
    """

    text: str
    log_prob: float
    finished: bool
    words: tuple[Word, ...]
    tokens: tuple[int, ...]
    token_confidences: tuple[float, ...]
    symbols: tuple[str, ...]
    alignment: Float[Tensor, "steps positions"]
    seconds_per_position: float
    n_best: tuple[Candidate, ...]
    seconds: float
    no_speech: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongTranscript:
    """Transcript of a long sound, window by window.

    Attributes:
        words: words with times from the start of the whole sound.
        windows: number of windows.
        unfinished: number of windows that reached the length limit, so that words may be missing.
        seconds: duration of the sound.
        no_speech: probability that a window holds no speech, mean over windows (1 for silence).
    """

    words: tuple[Word, ...]
    windows: int
    unfinished: int
    seconds: float
    no_speech: float = 0.0

    @property
    def text(self) -> str:
        """Words of the transcript, separated by spaces."""
        return " ".join(word.text for word in self.words)
