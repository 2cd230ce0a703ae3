"""Results of transcription: text, words with times, alignment, and n-best list."""

import dataclasses

from jaxtyping import Float
from torch import Tensor

from speechseq.inference.timestamps import Word

NO_SPEECH = 0.5  # a transcript whose `no_speech` is higher is marked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of the n best hypotheses of an utterance, as text; a part of a Transcript.

    Attributes:
        text: the text.
        score: the sum of `terms`, by which hypotheses are ranked.
        log_prob: log-probability in nats under the recogniser alone, without language models.
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
    """Transcript of one sound, a result of `Transcriber.transcribe`.

    Attributes:
        text: text of the best hypothesis.
        log_prob: its log-probability in nats under the recogniser alone.
        finished: False if the best hypothesis reached the length limit before eos.
        words: words with times and confidences.
        tokens: ids of the text.
        token_confidences: probability of each token given all tokens before it.
        symbols: a name for each step of the alignment, "<eos>" for the last when finished.
        alignment: (steps, positions), the attention weights.
        seconds_per_position: duration of a position of the alignment.
        n_best: the best hypotheses, the best first.
        seconds: duration of the sound.
        no_speech: probability, from 0 to 1, that the sound holds no speech: 1 - (1 - p) · c, where
            p is the probability of eos at the first step and c is the mean confidence of the tokens
            (1 without tokens). Above the constant NO_SPEECH, the text is probably wrong.
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
    """Transcript of a long sound, made window by window; the result of `transcribe_long`.

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
