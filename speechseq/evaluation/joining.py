"""Joining evaluation: the same words joined in several ways, and sounds without speech."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from lhotse import CutSet

from speechseq.corpus import digit_strings, wordless
from speechseq.corpus.joining import JoiningConfig
from speechseq.corpus.joining_ways import TESTED
from speechseq.evaluation.asr import ASREvaluation, Recogniser, evaluate_asr, items_of
from speechseq.evaluation.report.page import Figure
from speechseq.inference.search.recognise import Strategy
from speechseq.inference.transcript import NO_SPEECH, Transcript

_WORDLESS = 20  # sounds of each kind, at most
_SECONDS = (1.0, 10.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoiningEvaluation:
    """Errors of a recogniser on strings joined in several ways and on sounds without speech.

    It is the result of `evaluate_joining`. A transcript is `marked` if the recogniser itself says
    that the sound probably holds no speech.

    Attributes:
        joined: evaluation of the strings, by name of the way in which the recordings of their words
            were joined.
        wordless: transcripts of sounds without speech, by kind of sound.
    """

    joined: Mapping[str, ASREvaluation]
    wordless: Mapping[str, Sequence[Transcript]]

    @property
    def wer(self) -> dict[str, float]:
        """Word error rate of the strings, by name of the way in which their words were joined."""
        return {name: evaluation.score.wer for name, evaluation in self.joined.items()}

    @property
    def invented(self) -> dict[str, int]:
        """Number of words that were recognised in sounds without speech, by kind of sound.

        Words of marked transcripts count too.
        """
        return {
            name: sum(len(found.words) for found in transcripts)
            for name, transcripts in self.wordless.items()
        }

    @property
    def unmarked(self) -> dict[str, int]:
        """Number of words in transcripts of sounds without speech that are not marked, by kind."""
        return {
            name: sum(len(found.words) for found in transcripts if not marked(found))
            for name, transcripts in self.wordless.items()
        }

    @property
    def doubted(self) -> int:
        """Number of joined recordings that are marked as without speech, although all have some."""
        return sum(marked(found) for one in self.joined.values() for found in one.transcripts)

    def data(self) -> dict[str, object]:
        """Return error rates and numbers of words as plain data, to be written as JSON."""
        return {
            "wer": self.wer,
            "invented_words": self.invented,
            "unmarked_words": self.unmarked,
            "marked_strings": self.doubted,
        }

    def figures(self) -> list[Figure]:
        """Return error rates and numbers of words with labels, for the head of an HTML report."""
        told = [Figure(label=f"WER, {name}", value=f"{wer:.2%}") for name, wer in self.wer.items()]
        said = sum(self.unmarked.values())
        return [*told, Figure(label="words of nobody", value=str(said), good=not said)]

    def line(self) -> str:
        """Format error rates and numbers of words as one line of text."""
        rates = ", ".join(f"{name} {100 * wer:.1f}" for name, wer in self.wer.items())
        sounds = sum(map(len, self.wordless.values()))
        return (
            f"WER (%) by way of joining: {rates}; {sum(self.invented.values())} words invented in "
            f"{sounds} sounds without words, {sum(self.unmarked.values())} of them unmarked; "
            f"{self.doubted} strings marked as no speech"
        )


def marked(transcript: Transcript) -> bool:
    """Return True if a transcript says that its sound probably holds no speech.

    This is so if `transcript.no_speech` is above the constant NO_SPEECH.
    """
    return transcript.no_speech > NO_SPEECH


def evaluate_joining(
    recogniser: Recogniser,
    recordings: CutSet,
    folder: Path,
    *,
    utterances: int,
    seed: int = 0,
    longest: int = 7,
    speakers: Collection[str] = (),
    strategy: Strategy | None = None,
    ways: Mapping[str, JoiningConfig] = TESTED,
) -> JoiningEvaluation:
    """Test whether a recogniser depends on the way in which recordings of words were joined.

    Strings are joined from recordings of single words in several ways, and transcribed; so are
    sounds without speech.

    Args:
        recogniser: such as a `Transcriber`.
        recordings: lhotse cuts of single words.
        folder: folder for the sounds; those of an earlier call with equal arguments are reused.
        utterances: number of strings for each way, with the same words and recordings in all ways;
            also the number of sounds without speech of each kind, which is at most 20.
        seed: seed of all draws.
        longest: maximum number of words of a string.
        speakers: use only these speakers; empty for all.
        strategy: search; None for the recogniser's default beam.
        ways: settings of each way of joining, by name.

    Raises:
        ConfigError, DataError, MachineError: see `digit_strings.make` and `evaluate_asr`.
    """
    joined = {}
    for name, way in ways.items():
        strings = digit_strings.make(
            recordings,
            folder / re.sub(r"\W+", "_", name),
            utterances=utterances,
            seed=seed,
            longest=longest,
            speakers=speakers,
            ways=(way,),
        )
        items = items_of(strings, recogniser.audio)
        joined[name] = evaluate_asr(recogniser, items, strategy=strategy)
    without_words: dict[str, Sequence[Transcript]] = {}
    for kind in wordless.KINDS:
        sounds = wordless.make(
            folder / f"wordless_{kind}",
            utterances=min(utterances, _WORDLESS),
            sample_rate=recogniser.audio.sample_rate,
            seed=seed,
            seconds=_SECONDS,
            kinds=(kind,),
            recordings=recordings,
        )
        items = items_of(sounds, recogniser.audio)
        pairs = [(item.waveform, recogniser.audio.sample_rate) for item in items]
        without_words[kind] = recogniser.transcribe(pairs, strategy=strategy)
    return JoiningEvaluation(joined=joined, wordless=without_words)
