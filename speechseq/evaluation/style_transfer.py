"""Evaluation of a trained style: control of prosody by its code, and transfer of references.

F0, its spread, energy and rate are measured in free-running speech, and compared with those of the
references.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from lhotse import MonoCut
from torch import Tensor

from speechseq.audio.mel import AudioConfig
from speechseq.corpus import features
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.style_directions import direction, middle, rank_correlation
from speechseq.evaluation.style_prior import evaluate_default, evaluate_prior
from speechseq.evaluation.style_regression import MEASURES, recovered, regression
from speechseq.evaluation.styled_speech import Rows, StyledVoice, per_letter
from speechseq.evaluation.text_probe import text_probe
from speechseq.evaluation.time_warp import warped_f0_error
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.style.latent import Latent


class Reference(NamedTuple):
    """Recording whose style a model is to imitate; `references` loads them from a corpus.

    Attributes:
        waveform: (1, samples) at the model's sample rate.
        text: transcript.
        speaker: name of the speaker; "" if unknown.
    """

    waveform: Tensor
    text: str
    speaker: str = ""

    @property
    def sound(self) -> Tensor:
        """Waveform without its first axis: (samples,)."""
        return self.waveform.flatten()


def references(
    cuts: Iterable[MonoCut], audio: AudioConfig, *, most: int | None = None
) -> list[Reference]:
    """Load recordings of lhotse cuts, with text and speaker, as references for a style.

    Args:
        cuts: utterances of a corpus.
        audio: audio settings, for the sample rate.
        most: maximum number of references. If there are more cuts, every n-th is taken, so that all
            speakers of a sorted corpus occur. None takes all.

    Raises:
        DataError: a recording cannot be read.
    """
    cuts = list(cuts)
    return [
        Reference(
            features.load_waveform(cut, audio),
            cut.supervisions[0].text,
            cut.supervisions[0].speaker or "",
        )
        for cut in cuts[:: -(-len(cuts) // most) if most and cuts else 1]
    ]


def evaluate_style(
    synthesizer: Synthesizer,
    fitted: Sequence[Reference],
    held_out: Sequence[Reference],
    texts: Sequence[str],
    judge: Judge,
    *,
    speaker: str | None = None,
) -> dict[str, Any]:
    """Measure how well a style can be set by hand and transferred from references.

    Args:
        synthesizer: synthesiser whose model has a style.
        fitted: recordings that the regression of prosody on the style's codes is fitted to, such as
            those of the training set.
        held_out: other recordings, whose styles are transferred to their own and to another text.
        texts: unseen texts that are spoken along each direction and in the default style.
        judge: recogniser for word error rates.
        speaker: name of the voice, for a model with several speakers.

    Returns:
        "recovered": R² on `held_out` of the regression of each measure on the codes.
        "directions": for "f0", "energy" and "rate" the dict of `style_directions.direction`.
        "same_text": errors of speech with style and text of each held-out recording: medians of
        "f0" and "spread" (semitones), "energy" (dB), "rate" (octaves), the mean F0 frame error
        "ffe" after time alignment, and "wer".
        "copy_synthesis": the same errors for the recordings' own mels inverted by Griffin-Lim.
        "other_text": Spearman's correlation, for each measure, of the held-out recordings with
        speech that has their styles and one common text.
        "text_probe", "prior", "default": the dicts of `text_probe`, `evaluate_prior` and
        `evaluate_default`. A value is None where F0 is undefined.

    Raises:
        ConfigError: the model has no style.
        MachineError: the extra `style` is not installed.
    """
    voice = StyledVoice(synthesizer, judge, speaker)
    known, new = (
        synthesizer.references([(r.waveform, voice.sample_rate) for r in group])
        for group in (fitted, held_out)
    )
    targets, truth = (voice.measured([r.sound for r in group]) for group in (fitted, held_out))
    models = regression(known.code, targets)
    known_texts, held_texts = ([r.text for r in group] for group in (fitted, held_out))
    real = per_letter(np.concatenate([truth, targets]), held_texts + known_texts)
    recordings = [reference.sound for reference in held_out]
    return {
        "recovered": recovered(models, new.code, truth),
        "directions": {
            name: direction(voice, models, name, texts) for name in MEASURES if name != "spread"
        },
        "same_text": _errors(voice, voice.speak(held_texts, new), held_out, truth),
        "copy_synthesis": _errors(voice, voice.copies(recordings), held_out, truth),
        "other_text": _other_text(voice, new, held_texts, truth),
        "text_probe": text_probe(known.code, known_texts, new.code, held_texts),
        "prior": evaluate_prior(voice, held_texts, real),
        "default": evaluate_default(voice, texts, real),
    }


def _errors(
    voice: StyledVoice, ours: Sequence[Tensor], references: Sequence[Reference], truth: Rows
) -> dict[str, float | None]:
    """Errors of speech with the references' own texts."""
    errors = np.abs(voice.measured(ours) - truth).T
    frames = [
        warped_f0_error(waveform, reference.sound, voice.sample_rate)
        for waveform, reference in zip(ours, references, strict=True)
    ]
    return {
        **{name: middle(row) for name, row in zip(MEASURES, errors, strict=True)},
        "ffe": float(np.mean(frames)),
        "wer": voice.wer([reference.text for reference in references], ours),
    }


def _other_text(
    voice: StyledVoice, latent: Latent, texts: Sequence[str], truth: Rows
) -> dict[str, float | None]:
    text = min(texts, key=lambda t: abs(len(t) - 20))  # one for all
    results = voice.measured(voice.speak([text] * len(texts), latent))
    truth = per_letter(truth, texts)
    return {name: rank_correlation(results[:, i], truth[:, i]) for i, name in enumerate(MEASURES)}
