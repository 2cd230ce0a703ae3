"""Speaker accuracy of a trained model: how often a classifier recognises each of its speakers."""

from collections.abc import Sequence
from typing import Any

import torch

from speechseq.errors import ConfigError
from speechseq.evaluation import speakers
from speechseq.evaluation.speakers import Features, SpeakerJudge
from speechseq.evaluation.style_card import lengthened
from speechseq.evaluation.style_transfer import Reference
from speechseq.inference.synthesizer import Synthesizer

_FEWEST = 2  # recordings of a speaker from which the judge can learn


def evaluate_speakers(
    synthesizer: Synthesizer,
    fitted: Sequence[Reference],
    held_out: Sequence[Reference],
    texts: Sequence[str],
) -> dict[str, Any]:
    """Test whether a synthesiser's speakers sound like themselves, by a classifier of speakers.

    The classifier is fitted to recordings, and applied to other recordings and to our speech.

    Args:
        synthesizer: synthesiser whose model has several speakers.
        fitted: recordings that the classifier is fitted to; those of a speaker with only one are
            left out.
        held_out: other recordings of the same speakers, to test the classifier.
        texts: texts that every speaker of the model speaks.

    Returns:
        "original": accuracy on `held_out`, from 0 to 1. "by_speaker": accuracy on the speech of
        each speaker of the model, by name. "ours": mean of "by_speaker". "ratio": "ours" divided
        by "original", None if "original" is 0.

    Raises:
        ConfigError: the model has no speakers.
        DataError: there are no texts or no `held_out`, or fewer than two speakers have 2
            recordings in `fitted`.
    """
    rate = synthesizer.audio.sample_rate
    names = [reference.speaker for reference in fitted]
    rows = [i for i, name in enumerate(names) if names.count(name) >= _FEWEST]
    judge = speakers.fit(_features([fitted[i].sound for i in rows], rate), [names[i] for i in rows])
    heard = _features([reference.sound for reference in held_out], rate)
    original = judge.accuracy(heard, [reference.speaker for reference in held_out])
    by_speaker = speaker_accuracy(synthesizer, judge, texts)
    ours = sum(by_speaker.values()) / len(by_speaker)
    ratio = ours / original if original else None
    return {"original": original, "ours": ours, "ratio": ratio, "by_speaker": by_speaker}


def speaker_accuracy(
    synthesizer: Synthesizer, judge: SpeakerJudge, texts: Sequence[str]
) -> dict[str, float]:
    """Speak texts as every speaker of a model, in the default style, and classify the speech.

    Args:
        synthesizer: synthesiser whose model has several speakers.
        judge: classifier of speakers, the result of `speakers.fit`.
        texts: texts to speak.

    Returns:
        For each speaker by name, the share of texts in which the judge recognises this speaker.

    Raises:
        ConfigError: the model has no speakers.
        DataError: there are no texts.
    """
    table = synthesizer.model.speakers
    if table is None:
        raise ConfigError("the model has no speakers", "train one with speakers")
    found = {}
    for name in table.config.names:
        spoken = synthesizer.synthesize(texts, seed=0, speaker=name)
        heard = _features([item.waveform for item in spoken], synthesizer.audio.sample_rate)
        found[name] = judge.accuracy(heard, [name] * len(texts))
    return found


def _features(waveforms: Sequence[torch.Tensor], sample_rate: int) -> Features:
    """Features of waveforms (samples,), one at a time."""
    long = [lengthened(waveform, sample_rate)[None] for waveform in waveforms]
    rows = [speakers.speaker_features(waveform, sample_rate) for waveform in long]
    return torch.cat(rows) if rows else torch.zeros(0, 1)
