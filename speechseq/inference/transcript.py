"""Results of transcription: text, words with times, alignment, n-best list."""

import dataclasses

from jaxtyping import Float
from torch import Tensor

from speechseq.inference.timestamps import Word

NO_SPEECH = 0.5  # a transcript whose `no_speech` is higher is marked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of the n best hypotheses.

    score is the sum of `terms`; log_prob is the model's own log-probability of the whole reading.
    """

    text: str
    score: float
    log_prob: float
    terms: dict[str, float]
    finished: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transcript:
    """One transcribed utterance.

    Attributes:
        text, log_prob, finished: of the best reading; one that met its limit is not finished.
        words: with times and confidences.
        tokens, token_confidences: ids, and the probability of each given those before it.
        symbols: a name for each step of the alignment, "<eos>" for the last when finished.
        alignment: (steps, positions), where the attention looked; a position is
            `seconds_per_position` long.
        n_best: the best readings, the best first.
        seconds: how long the sound is.
        no_speech: within 0 to 1, how likely it is that nobody speaks: 1 - (1 - p) · c, of the
            probability p that the model ends before the first token, and the mean confidence c
            of the tokens (1 where there are none). Above NO_SPEECH, trust no word of the text.
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
    """A long sound, transcribed window by window.

    Attributes:
        words: with times from the start of the whole sound.
        windows: how many there were; `unfinished` of them met their limit, so words may be missing.
        seconds: how long the sound is.
        no_speech: mean of the windows'; one of silence counts as 1.
    """

    words: tuple[Word, ...]
    windows: int
    unfinished: int
    seconds: float
    no_speech: float = 0.0

    @property
    def text(self) -> str:
        """The words, separated by spaces."""
        return " ".join(word.text for word in self.words)
