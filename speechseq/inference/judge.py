"""An independent listener: pocketsphinx writes down what it hears, jiwer counts word errors.

Extra `judge`. It is a weak recogniser by today's measure, so its error on our speech means little
alone: always judge the real recordings of the same texts beside it.
"""

import dataclasses
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from speechseq.errors import MachineError
from speechseq.text.normalize import normalize

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_RATE = 16000
_QUIET = _RATE * 3 // 10  # at both ends: speech that begins at once is misheard
_LEVEL = 0.1  # root mean square that every waveform is brought to


class Edit(NamedTuple):
    """A stretch of words that was heard as asked ("equal"), or as others, or not, or invented."""

    kind: str  # "equal", "substitute", "delete" or "insert"
    asked: str
    heard: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heard:
    """One judged text: the words asked for, the words heard, and how they fit together."""

    asked: str
    heard: str
    edits: tuple[Edit, ...]

    @property
    def right(self) -> bool:
        """Every word was heard as asked."""
        return self.asked == self.heard


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgement:
    """Word errors over all texts together: errors summed, divided by all words asked for."""

    wer: float
    words: int
    substitutions: int
    deletions: int
    insertions: int
    rows: tuple[Heard, ...]


class Judge:
    """Hears speech with pocketsphinx's US-English model; `digits()` or `sentences()` make one.

    What it hears does not depend on what it heard before.
    """

    def __init__(self, decoder: Any, noise: float) -> None:
        self._decoder = decoder
        self._noise = noise  # digital silence, which no microphone gives, confuses the recogniser

    @classmethod
    def digits(cls) -> "Judge":
        """A judge that expects one or more of the words zero to nine, and nothing else.

        Raises:
            MachineError: the extra `judge` is not installed.
        """
        grammar = f"#JSGF V1.0; grammar digits; public <digits> = ({' | '.join(DIGITS)})+;"
        # a cheap word lets breaths and releases pass for "two": a dear one does not
        decoder = _package("pocketsphinx").Decoder(lm=None, wip=1e-3, silprob=0.2, loglevel="FATAL")
        decoder.add_jsgf_string("digits", grammar)
        decoder.activate_search("digits")
        return cls(decoder, noise=0.005)

    @classmethod
    def sentences(cls) -> "Judge":
        """A judge of free English, with the package's language model and dictionary.

        Raises:
            MachineError: the extra `judge` is not installed.
        """
        return cls(_package("pocketsphinx").Decoder(loglevel="FATAL"), noise=0.0005)

    def hear(self, waveform: Float[Tensor, " samples"], sample_rate: int) -> str:
        """The words heard in a waveform (samples,), in lower case; "" for none."""
        sound = _prepared(waveform, sample_rate, self._noise)
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(sound, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        # "zero(2)" is the second pronunciation of zero
        return re.sub(r"\(\d+\)", "", found.hypstr).strip() if found else ""

    def judge(
        self, texts: Sequence[str], waveforms: Sequence[Tensor], sample_rate: int
    ) -> Judgement:
        """Hear waveforms, each (samples,), and compare them with the texts that they should say."""
        pairs = zip(texts, waveforms, strict=True)
        return compare([(text, self.hear(waveform, sample_rate)) for text, waveform in pairs])


def compare(pairs: Sequence[tuple[str, str]]) -> Judgement:
    """Word errors of (asked, heard) pairs of texts, over all of them together, case ignored.

    Raises:
        MachineError: the extra `judge` is not installed.
    """
    asked = [spoken_words(text) for text, _ in pairs]
    heard = [spoken_words(text) for _, text in pairs]
    counted = _package("jiwer").process_words(asked, heard)
    rows = [
        Heard(asked=a, heard=h, edits=_edits(a.split(), h.split(), chunks))
        for a, h, chunks in zip(asked, heard, counted.alignments, strict=True)
    ]
    return Judgement(
        wer=counted.wer,
        words=sum(len(text.split()) for text in asked),
        substitutions=counted.substitutions,
        deletions=counted.deletions,
        insertions=counted.insertions,
        rows=tuple(rows),
    )


def spoken_words(text: str) -> str:
    """The words of a text as they are spoken: normalised, lower case, no punctuation."""
    return " ".join(re.findall(r"[a-z]+(?:'[a-z]+)*", normalize(text).lower()))


def _edits(asked: list[str], heard: list[str], chunks: Any) -> tuple[Edit, ...]:
    return tuple(
        Edit(
            chunk.type,
            " ".join(asked[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in chunks
    )


def _prepared(waveform: Float[Tensor, " samples"], sample_rate: int, noise: float) -> bytes:
    """16-bit samples at 16 kHz, of one level, in quiet that is not quite silent."""
    samples = waveform.detach().float().cpu()
    if sample_rate != _RATE and len(samples):
        samples = torchaudio.functional.resample(samples, sample_rate, _RATE)
    level = samples.square().mean().sqrt() if len(samples) else torch.tensor(0.0)
    samples = samples * (_LEVEL / level.clamp(min=1e-4))
    samples = torch.nn.functional.pad(samples, (_QUIET, _QUIET))
    hiss = torch.randn(len(samples), generator=torch.Generator().manual_seed(0))
    samples = (samples + noise * hiss).clamp(-1, 1)
    return (samples * 32767).to(torch.int16).numpy().tobytes()


def _package(name: str) -> ModuleType:
    try:
        return __import__(name)
    except ImportError:
        raise MachineError(
            f"the judge needs the package {name}, which is not installed",
            "pip install 'speechseq[judge]'",
        ) from None
