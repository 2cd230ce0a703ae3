"""Batches for a recogniser: exact lengths, transcripts that end, and all bad ones named at once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet, MonoCut
from lhotse.utils import fastcopy

from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.corpus import features
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.sampling import Batches
from speechseq.errors import ConfigError, DataError
from speechseq.text.vocabulary import EOS, PAD, Vocabulary

CONFIG = AudioConfig()
VOCABULARY = Vocabulary.transcripts(" abcdefghijklmnopqrstuvwxyz")


def _renamed(cut: MonoCut, text: str | None) -> MonoCut:
    return cut.map_supervisions(lambda supervision: fastcopy(supervision, text=text))


def test_each_item_is_its_own_sound_and_no_more(cuts: CutSet) -> None:
    collate = ASRCollate(VOCABULARY, CONFIG)
    batch = collate(list(cuts))
    assert batch.ids == tuple(cut.id for cut in cuts)
    assert batch.feature_lengths.dtype == batch.token_lengths.dtype == batch.tokens.dtype
    assert batch.tokens.dtype == torch.int64
    assert batch.weight == int(batch.token_lengths.sum())
    for i, cut in enumerate(cuts):
        mel = log_mel(features.load_waveform(cut, CONFIG), CONFIG)[0]
        assert int(batch.feature_lengths[i]) == len(mel) == collate.frames(cut)
        assert torch.equal(batch.features[i, : len(mel)], mel)
    assert len(batch.features[0]) == max(batch.feature_lengths)


def test_a_transcript_closes_with_one_eos_and_is_padded_with_pad(cuts: CutSet) -> None:
    batch = ASRCollate(VOCABULARY, CONFIG)(list(cuts))
    for i, cut in enumerate(cuts):
        length = int(batch.token_lengths[i])
        ids = batch.tokens[i, :length].tolist()
        assert VOCABULARY.decode(ids) == cut.supervisions[0].text
        assert ids.count(EOS) == 1
        assert ids[-1] == EOS
        assert (batch.tokens[i, length:] == PAD).all()


def test_a_vocabulary_that_never_ends_is_refused() -> None:
    with pytest.raises(ConfigError, match="eos"):
        ASRCollate(Vocabulary.characters(end=False), CONFIG)


def test_cached_features_and_fresh_ones_make_the_same_batch(cuts: CutSet, tmp_path: Path) -> None:
    collate = ASRCollate(VOCABULARY, CONFIG)
    cached = collate(list(features.compute(cuts, CONFIG, tmp_path)))
    assert torch.equal(cached.features, collate(list(cuts)).features)


def test_the_normalizer_is_applied_and_none_by_default(cuts: CutSet) -> None:
    cut = _renamed(cuts[0], "one_two")
    with pytest.raises(DataError, match="row-0000"):
        ASRCollate(VOCABULARY, CONFIG)([cut])
    spaced = ASRCollate(VOCABULARY, CONFIG, normalizer=lambda text: text.replace("_", " "))
    assert VOCABULARY.decode(spaced([cut]).tokens[0].tolist()) == "one two"


def test_all_bad_transcripts_are_listed_with_their_ids(cuts: CutSet) -> None:
    collate = ASRCollate(VOCABULARY, CONFIG)
    collate.check(cuts)
    bad = [_renamed(cuts[0], "naïve"), cuts[1], _renamed(cuts[2], " "), _renamed(cuts[3], None)]
    with pytest.raises(DataError, match="3 texts") as caught:
        collate.check(CutSet.from_cuts(bad))
    assert "row-0000: unknown symbols" in caught.value.problem
    assert "'ï'" in caught.value.problem
    assert "row-0002: no text" in caught.value.problem
    assert "row-0003: no text" in caught.value.problem
    assert "row-0001" not in caught.value.problem


def test_a_cut_without_frames_and_a_batch_without_cuts_are_refused(
    cuts: CutSet, tmp_path: Path
) -> None:
    done = features.compute(cuts.subset(first=1), CONFIG, tmp_path)
    (path,) = tmp_path.rglob("*.npy")
    path.unlink()
    np.save(path, np.zeros((0, 80), np.float32))
    with pytest.raises(DataError, match="row-0000: 0 frames"):
        ASRCollate(VOCABULARY, CONFIG)(list(done))
    with pytest.raises(DataError, match="no cuts"):
        ASRCollate(VOCABULARY, CONFIG)([])


def test_workers_hand_over_the_same_batches(cuts: CutSet) -> None:
    collate = ASRCollate(VOCABULARY, CONFIG)
    plain = Batches(cuts, collate, frames_per_batch=120, seed=1)
    ahead = Batches(cuts, collate, frames_per_batch=120, seed=1, workers=1)
    for _ in range(4):
        batch, other = next(plain), next(ahead)
        assert batch.ids == other.ids
        assert torch.equal(batch.features, other.features)
        assert torch.equal(batch.tokens, other.tokens)
