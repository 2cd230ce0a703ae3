"""Speakers of a trained model: how often a judge of recordings knows each voice of its table."""

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
    """Fit a judge of speakers on recordings; let it name other recordings, and our speech.

    Args:
        fitted: recordings that the judge learns from; of each speaker at least 2.
        held_out: recordings of the same speakers, on which it is tested.
        texts: spoken by every speaker of the model.

    Returns:
        "original", the judge's accuracy on `held_out`; "ours", "by_speaker" and "ratio" as
        `speaker_accuracy` finds them, the last beside "original".

    Raises:
        ConfigError: a model without speakers.
        DataError: no texts, or fewer than two speakers with enough recordings.
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
    """Speak texts by every speaker of a model, in its default style.

    Returns:
        For each speaker the share of texts that the judge takes for theirs.

    Raises:
        ConfigError: a model without speakers.
        DataError: no texts.
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
