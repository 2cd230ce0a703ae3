"""The judge of speakers knows voices at any prosody, and is blind to loudness and padding."""

import math
from pathlib import Path

import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn.utils.rnn import pad_sequence

from speechseq.audio import wav
from speechseq.errors import DataError
from speechseq.evaluation.speakers import fit, speaker_features


def _classes(count: int) -> tuple[torch.Tensor, list[str]]:
    label = torch.arange(count) % 3
    means = torch.tensor([[0.0, 0, 0], [2, 0, 1], [0, 3, -1]])
    mixed = torch.tensor([[1.0, 0.8, 0], [0, 0.5, 0], [0.3, 0, 2]])
    return means[label] + torch.randn(count, 3) @ mixed, [f"voice {i}" for i in label.tolist()]


def test_the_classifier_is_scikit_learns() -> None:
    features, speakers = _classes(300)
    judge = fit(features, speakers)
    reference = LinearDiscriminantAnalysis(priors=[1 / 3] * 3).fit(features, speakers)
    unseen, true = _classes(300)
    ours, theirs = judge.classify(unseen), list(reference.predict(unseen))
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) >= 298  # 0.1 % of shrinkage
    assert judge.accuracy(unseen, true) > 0.85


def test_features_do_not_depend_on_the_batch_or_the_level() -> None:
    waveforms = [0.1 * torch.randn(n).cumsum(0) / 30 for n in (9000, 4000, 12_000)]
    padded = pad_sequence(waveforms, batch_first=True, padding_value=math.nan)
    together = speaker_features(padded, 22050, torch.tensor([9000, 4000, 12_000]))
    for row, waveform in zip(together, waveforms, strict=True):
        alone = speaker_features(waveform[None], 22050)[0]
        torch.testing.assert_close(row, alone, rtol=1e-4, atol=1e-4)
        louder = speaker_features(3 * waveform[None], 22050)[0]
        torch.testing.assert_close(louder, alone, rtol=1e-3, atol=5e-3)


def test_what_cannot_be_learned_is_refused() -> None:
    features, speakers = _classes(30)
    with pytest.raises(DataError, match="1 speakers"):
        fit(features, ["one"] * 30)
    with pytest.raises(DataError, match="alone"):
        fit(features, ["new", *speakers[1:]])
    with pytest.raises(DataError, match="NaN"):
        fit(features / 0 * 0, speakers)
    with pytest.raises(DataError, match="no utterances"):
        fit(features, speakers).accuracy(features[:0], [])


def test_eight_voices_are_known_at_any_pitch_rate_and_volume(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    from speechseq.corpus import known_prosody

    cuts = list(known_prosody.make(tmp_path, utterances=240, longest=4, held_out=True))
    sounds = [wav.load(cut.recording.sources[0].source)[0][0] for cut in cuts]
    features = torch.cat([speaker_features(sound[None], 22050) for sound in sounds])
    speakers = [cut.supervisions[0].speaker for cut in cuts]
    judge = fit(features[:160], speakers[:160])
    assert judge.accuracy(features[160:], speakers[160:]) >= 0.94
