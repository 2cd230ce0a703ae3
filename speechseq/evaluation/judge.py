"""Judge: pocketsphinx as an external recogniser, for the word error rate of synthesised speech.

It needs the extra `judge`. The recogniser is weak by today's measure, so an error rate means little
without a comparison: always judge the recordings of the same texts, too.
"""

import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from speechseq.errors import MachineError
from speechseq.inference.score import Score, score
from speechseq.inference.wer.normalize import spoken_words
from speechseq.text import arpa, ngrams

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_RATE = 16000
_QUIET = _RATE * 3 // 10  # at both ends: speech that begins at once is misheard
_LEVEL = 0.1  # root mean square that every waveform is brought to


class Judge:
    """External recogniser to judge synthesised speech: pocketsphinx with its US-English model.

    Make one by `Judge.digits()`, `Judge.sentences()` or `Judge.of_texts(texts)`; `transcribe` and
    `judge` then take waveforms in [-1, 1]. Transcripts do not depend on earlier calls.

    Args:
        decoder: decoder of pocketsphinx.
        noise: factor of the pseudo-random noise that is added to every sound; full scale is 1.

    Examples:
        >>> judge = Judge.digits()
        >>> judge.transcribe(torch.zeros(8000), sample_rate=8000)
        ''
    """

    def __init__(self, decoder: Any, noise: float) -> None:
        self._decoder = decoder
        self._noise = noise  # digital silence, which no microphone gives, confuses the recogniser

    @classmethod
    def digits(cls) -> "Judge":
        """Return a judge that expects one or more of the words zero to nine, and nothing else.

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
    def of_texts(cls, texts: Iterable[str]) -> "Judge":
        """Return a judge whose language model is a trigram of texts, the spoken ones included.

        With its own language model, pocketsphinx mishears three of four words of espeak's voices,
        and with such a model one of eight. A judge that knows the texts tells a good voice from a
        fair one, but its error rate is not that of a listener.

        Args:
            texts: sentences, including those that will be judged. Words that are not in
                pocketsphinx's dictionary are never recognised.

        Raises:
            DataError: there are no texts.
            MachineError: the extra `judge` is not installed.
        """
        decoder = _package("pocketsphinx").Decoder
        model = ngrams.estimate([spoken_words(text).split() for text in texts], order=3)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "texts.arpa"
            arpa.write(path, model)
            return cls(decoder(lm=str(path), loglevel="FATAL"), noise=0.0005)

    @classmethod
    def sentences(cls) -> "Judge":
        """Return a judge of unrestricted English, with the language model of pocketsphinx.

        Raises:
            MachineError: the extra `judge` is not installed.
        """
        return cls(_package("pocketsphinx").Decoder(loglevel="FATAL"), noise=0.0005)

    def transcribe(self, waveform: Float[Tensor, " samples"], sample_rate: int) -> str:
        """Return the words recognised in a waveform (samples,), in lower case; "" for none.

        `sample_rate` is in samples per second; any rate is resampled to the model's 16 kHz.
        """
        sound = _prepared(waveform, sample_rate, self._noise)
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(sound, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        # "zero(2)" is the second pronunciation of zero
        return re.sub(r"\(\d+\)", "", found.hypstr).strip() if found else ""

    def judge(self, texts: Sequence[str], waveforms: Sequence[Tensor], sample_rate: int) -> Score:
        """Transcribe waveforms, each (samples,), and compute error rates against their texts.

        Case and punctuation of the texts are ignored. `sample_rate` is in samples per second.
        """
        pairs = zip(texts, waveforms, strict=True)
        return compare([(text, self.transcribe(waveform, sample_rate)) for text, waveform in pairs])


def compare(pairs: Sequence[tuple[str, str]]) -> Score:
    """Compute error rates of (reference, hypothesis) pairs; case and punctuation are ignored."""
    return score([(spoken_words(ref), spoken_words(hyp)) for ref, hyp in pairs])


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
