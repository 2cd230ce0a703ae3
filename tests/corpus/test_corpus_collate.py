"""Collate: what is padding, what is silence that counts, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet, MonoCut
from lhotse.utils import fastcopy

from speechseq.audio.mel import AudioConfig, compress, log_mel, magnitude
from speechseq.corpus import features
from speechseq.corpus.collate import TTSCollate
from speechseq.errors import ConfigError, DataError
from speechseq.text.vocabulary import Vocabulary

CONFIG = AudioConfig()
VOCABULARY = Vocabulary.characters()
PRESETS = ["nvidia", "keithito", "espnet"]


def _renamed(cut: MonoCut, text: str | None) -> MonoCut:
    return cut.map_supervisions(lambda supervision: fastcopy(supervision, text=text))


@pytest.mark.filterwarnings("ignore::speechseq.audio.wav.WavWarning")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("multiple", [1, 2, 3, 5])
def test_each_item_is_itself_then_silence(cuts: CutSet, preset: str, multiple: int) -> None:
    config = AudioConfig.preset(preset)
    collate = TTSCollate(VOCABULARY, config, frame_multiple=multiple, log_magnitude=True)
    batch = collate(list(cuts))
    assert batch.ids == tuple(cut.id for cut in cuts)
    assert batch.frame_lengths.dtype == batch.token_lengths.dtype == batch.tokens.dtype
    assert batch.tokens.dtype == torch.int64
    assert batch.mel.shape[:2] == batch.log_magnitude.shape[:2]
    assert batch.log_magnitude.shape[2] == config.bins
    for i, cut in enumerate(cuts):
        sound = features.load_waveform(cut, config)
        mel = log_mel(sound, config)[0]
        linear = compress(magnitude(sound, config), config)[0]
        own, counted = len(mel), int(batch.frame_lengths[i])
        assert counted % multiple == 0
        assert own <= counted < own + multiple
        assert counted == collate.frames(cut)
        assert torch.equal(batch.mel[i, :own], mel)
        assert torch.equal(batch.log_magnitude[i, :own], linear)
        # 0.0 would be a loud frame in most conventions
        for tail in (batch.mel[i, own:], batch.log_magnitude[i, own:]):
            assert torch.equal(tail, torch.full_like(tail, config.floor_value))


def test_tokens_are_the_encoded_text_padded_with_pad(cuts: CutSet) -> None:
    batch = TTSCollate(VOCABULARY, CONFIG)(list(cuts))
    for i, cut in enumerate(cuts):
        length = int(batch.token_lengths[i])
        assert batch.tokens[i, :length].tolist() == VOCABULARY.encode(cut.supervisions[0].text)
        assert (batch.tokens[i, length:] == VOCABULARY.pad_id).all()


def test_cached_mels_and_fresh_ones_make_the_same_batch(cuts: CutSet, tmp_path: Path) -> None:
    collate = TTSCollate(VOCABULARY, CONFIG, frame_multiple=2)
    cached = collate(list(features.compute(cuts, CONFIG, tmp_path)))
    assert torch.equal(cached.mel, collate(list(cuts)).mel)


def test_a_text_is_normalised_unless_told_otherwise(cuts: CutSet) -> None:
    cut = _renamed(cuts[0], "CAFÉ")
    ids = TTSCollate(VOCABULARY, CONFIG)([cut]).tokens[0].tolist()
    assert ids == VOCABULARY.encode("cafe")
    with pytest.raises(DataError, match="row-0000"):
        TTSCollate(VOCABULARY, CONFIG, normalizer=None)([cut])


@pytest.mark.parametrize("text", ["", "  ", None])
def test_a_cut_without_text_is_refused_by_name(cuts: CutSet, text: str | None) -> None:
    with pytest.raises(DataError, match="row-0001: no text"):
        TTSCollate(VOCABULARY, CONFIG)([cuts[0], _renamed(cuts[1], text)])


def test_a_cut_without_frames_is_refused_by_name(cuts: CutSet, tmp_path: Path) -> None:
    done = features.compute(cuts.subset(first=1), CONFIG, tmp_path)
    (path,) = tmp_path.rglob("*.npy")
    path.unlink()
    np.save(path, np.zeros((0, 80), np.float32))
    with pytest.raises(DataError, match="row-0000: 0 frames"):
        TTSCollate(VOCABULARY, CONFIG)(list(done))


def test_no_cuts_and_no_multiple_are_refused() -> None:
    with pytest.raises(DataError, match="no cuts"):
        TTSCollate(VOCABULARY, CONFIG)([])
    with pytest.raises(ConfigError, match="frame_multiple"):
        TTSCollate(VOCABULARY, CONFIG, frame_multiple=0)


def test_all_bad_texts_are_listed_before_training(cuts: CutSet) -> None:
    collate = TTSCollate(VOCABULARY, CONFIG, normalizer=None)
    collate.check(cuts)
    spoilt = CutSet.from_cuts([_renamed(cuts[0], "ß"), cuts[1], _renamed(cuts[2], "")])
    with pytest.raises(DataError, match="2 texts") as caught:
        collate.check(spoilt)
    assert "row-0000" in caught.value.problem
    assert "row-0002: no text" in caught.value.problem
