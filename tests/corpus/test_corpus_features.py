"""Cached log-mels: bit for bit those of the file, computed once, never those of other settings."""

import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio.functional
from lhotse import CutSet
from lhotse.features.base import FeatureExtractor, get_extractor_type

from speechseq.audio import wav
from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.corpus import features, ljspeech
from speechseq.corpus.recording import spoken
from speechseq.errors import DataError, MachineError

CONFIG = AudioConfig()


def _count_extractions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    true = features.LogMelExtractor.extract

    def counted(self: features.LogMelExtractor, samples: object, rate: int) -> object:
        calls.append(rate)
        return true(self, samples, rate)

    monkeypatch.setattr(features.LogMelExtractor, "extract", counted)
    return calls


@pytest.mark.parametrize("preset", ["nvidia", "hifigan"])
def test_a_cached_mel_is_log_mel_of_the_file(cuts: CutSet, tmp_path: Path, preset: str) -> None:
    config = AudioConfig.preset(preset)
    for cut in features.compute(cuts, config, tmp_path / "cache"):
        direct = log_mel(wav.load(cut.recording.sources[0].source)[0], config)[0]
        cached = features.load_mel(cut, config)
        assert cached.dtype == torch.float32
        assert torch.equal(cached, direct)  # lossless, and no frame lost or made up
        assert features.frames(cut, config) == len(direct)


def test_frames_are_foretold_before_they_are_computed(cuts: CutSet) -> None:
    for cut in cuts:
        assert features.frames(cut, CONFIG) == len(features.load_mel(cut, CONFIG))


def test_nothing_is_computed_twice(
    cuts: CutSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _count_extractions(monkeypatch)
    first = features.compute(cuts, CONFIG, tmp_path)
    assert list(features.compute(cuts, CONFIG, tmp_path)) == list(first)
    assert len(calls) == len(cuts)
    assert all(cut.custom is None for cut in cuts)  # the caller's cuts stay as they were


def test_a_stopped_run_goes_on_and_a_damaged_file_is_made_anew(
    cuts: CutSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _count_extractions(monkeypatch)
    features.compute(cuts.subset(first=3), CONFIG, tmp_path)
    whole = sorted(tmp_path.rglob("*.npy"))
    whole[0].write_bytes(whole[0].read_bytes()[:-100])
    (whole[0].parent / "x.1234.part").write_bytes(b"left by a killed run")
    done = features.compute(cuts, CONFIG, tmp_path)
    assert len(calls) == 3 + 1 + 5
    assert torch.equal(features.load_mel(done[0], CONFIG), features.load_mel(cuts[0], CONFIG))


def test_other_settings_never_share_a_mel(cuts: CutSet, tmp_path: Path) -> None:
    done = features.compute(cuts, CONFIG, tmp_path)
    for field, value in {"fmax": 7600.0, "hop": 200, "floor": 1e-4, "log": "log10"}.items():
        other = dataclasses.replace(CONFIG, **{field: value})
        assert features.key(other) != features.key(CONFIG)
        with pytest.raises(DataError, match="other audio settings"):
            features.load_mel(done[0], other)
    other = features.compute(cuts, AudioConfig(mels=40), tmp_path)
    assert features.load_mel(other[0], AudioConfig(mels=40)).shape[1] == 40


def test_changed_sound_is_computed_anew(cuts: CutSet, tmp_path: Path) -> None:
    before = features.load_mel(features.compute(cuts, CONFIG, tmp_path)[0], CONFIG)
    source = Path(cuts[0].recording.sources[0].source)
    date = source.stat().st_mtime_ns
    samples, rate = soundfile.read(source)
    soundfile.write(source, samples[::-1], rate, subtype="PCM_16")
    os.utime(source, ns=(date + 1, date + 1))
    after = features.load_mel(features.compute(cuts, CONFIG, tmp_path)[0], CONFIG)
    assert not torch.equal(before, after)


def test_a_part_of_a_recording_is_that_part(cuts: CutSet, tmp_path: Path) -> None:
    part = cuts[7].truncate(offset=0.1, duration=0.2, preserve_id=False)
    done = features.compute(CutSet.from_cuts([cuts[7], part]), CONFIG, tmp_path)
    sound = wav.load(part.recording.sources[0].source)[0][:, 2205 : 2205 + 4410]
    assert torch.equal(features.load_mel(done[1], CONFIG), log_mel(sound, CONFIG)[0])
    assert len(features.load_mel(done[0], CONFIG)) == 1 + 17000 // 256


def test_many_resampled_files_are_said_once(cuts: CutSet, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features.compute(cuts, AudioConfig(sample_rate=16000), tmp_path)
    ours = [w for w in caught if issubclass(w.category, wav.WavWarning)]
    assert len(ours) == 1
    assert "7 more" in str(ours[0].message)


def test_all_sounds_that_cannot_be_used_are_listed(
    folder: Path, cuts: CutSet, tmp_path: Path
) -> None:
    soundfile.write(folder / "wavs" / "row-0001.wav", np.zeros(100), 22050)
    soundfile.write(folder / "wavs" / "row-0002.wav", [float("nan")] * 9999, 22050, "FLOAT")
    (folder / "wavs" / "row-0003.wav").unlink()
    all_eight = CutSet.from_cuts([*ljspeech.read(folder, skip_bad=True), cuts[3]])
    with pytest.raises(DataError, match="3 of 8") as caught:
        features.compute(all_eight, CONFIG, tmp_path)
    for name in ("row-0001", "row-0002", "row-0003"):
        assert name in caught.value.problem


def test_a_lost_cache_and_one_that_cannot_be_written_are_said(cuts: CutSet, tmp_path: Path) -> None:
    done = features.compute(cuts, CONFIG, tmp_path / "cache")
    for path in (tmp_path / "cache").rglob("*.npy"):
        path.unlink()
    with pytest.raises(DataError, match="lost"):
        features.load_mel(done[0], CONFIG)
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="file"):
        features.compute(cuts, CONFIG, tmp_path / "file" / "cache")


def test_effects_that_no_file_holds_are_refused(cuts: CutSet, tmp_path: Path) -> None:
    louder = CutSet.from_cuts([cuts[0].perturb_volume(1.1)])
    with pytest.raises(DataError, match="no plain file"):
        features.compute(louder, CONFIG, tmp_path)


@pytest.mark.parametrize("factor", [0.9, 1.1, 1.2])
def test_speed_is_changed_and_its_frames_are_told_exactly(cuts: CutSet, factor: float) -> None:
    for cut in cuts:
        changed = cut.perturb_speed(factor)
        sound = features.load_waveform(changed, CONFIG)
        assert sound.shape[1] == changed.num_samples
        assert features.frames(changed, CONFIG) == len(features.load_mel(changed, CONFIG))
        lhotses = torch.from_numpy(changed.load_audio())
        assert float((sound - lhotses)[:, 10:-10].abs().max()) < 1e-3


def test_a_part_of_a_faster_recording_is_part_of_the_whole_sped_up(cuts: CutSet) -> None:
    whole = features.load_waveform(cuts[7].perturb_speed(1.1), CONFIG)
    part = cuts[7].perturb_speed(1.1).truncate(offset=0.1, duration=0.2)
    assert torch.equal(features.load_waveform(part, CONFIG), whole[:, 2205 : 2205 + 4410])
    twice = cuts[7].perturb_speed(1.1).perturb_speed(0.9)
    assert features.load_waveform(twice, CONFIG).shape[1] == twice.num_samples


def test_a_mel_of_one_speed_is_never_given_for_another(cuts: CutSet, tmp_path: Path) -> None:
    several = [cuts[7], cuts[7].perturb_speed(0.9), cuts[7].perturb_speed(1.1)]
    done = features.compute(CutSet.from_cuts(several), CONFIG, tmp_path)
    for cut, plain in zip(done, several, strict=True):
        assert torch.equal(features.load_mel(cut, CONFIG), features.load_mel(plain, CONFIG))
    for outdated in (done[0].perturb_speed(0.9), done[0].truncate(duration=0.3)):
        with pytest.raises(DataError, match=r"features\.compute after"):
            features.load_mel(outdated, CONFIG)


@pytest.mark.filterwarnings("ignore::speechseq.audio.wav.WavWarning")
def test_frames_of_resampled_sound_are_told_exactly(tmp_path: Path) -> None:
    audio = AudioConfig(sample_rate=16000, n_fft=400, window=400, hop=1)
    for length in range(1000, 1020):
        path = tmp_path / f"{length}.wav"
        soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, length), 22050)
        cut = spoken(path, f"{length}", "x")
        assert features.frames(cut, audio) == len(features.load_mel(cut, audio))


def test_deltas_follow_the_mels(cuts: CutSet, tmp_path: Path) -> None:
    audio = AudioConfig(deltas=2)
    done = features.compute(cuts, audio, tmp_path)
    for cut, plain in zip(done, cuts, strict=True):
        heard, mel = features.load_features(cut, audio), features.load_mel(plain, CONFIG)
        slope = torchaudio.functional.compute_deltas(mel.T).T
        assert heard.shape == (len(mel), audio.features)
        assert torch.equal(heard[:, :80], mel)
        assert torch.allclose(heard[:, 80:160], slope, atol=1e-5)


def test_cuts_with_mels_survive_a_manifest_on_disk(cuts: CutSet, tmp_path: Path) -> None:
    done = features.compute(cuts, CONFIG, tmp_path)
    done.to_file(tmp_path / "cuts.jsonl.gz")
    read = CutSet.from_file(tmp_path / "cuts.jsonl.gz")
    for again, cut in zip(read, done, strict=True):
        assert torch.equal(features.load_mel(again, CONFIG), features.load_mel(cut, CONFIG))


def test_lhotse_knows_the_extractor(cuts: CutSet) -> None:
    extractor = get_extractor_type("speechseq-log-mel")(CONFIG)
    again = FeatureExtractor.from_dict(extractor.to_dict())
    assert again.config == CONFIG
    assert again.feature_dim(22050) == 80
    assert again.frame_shift == pytest.approx(256 / 22050)
    mel = again.extract(cuts[0].load_audio(), 22050)
    assert np.array_equal(mel, features.load_mel(cuts[0], CONFIG).numpy())
    with pytest.raises(DataError, match="16000 Hz"):
        again.extract(np.zeros(4000), 16000)


def test_a_full_disk_says_needed_and_free(
    cuts: CutSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) > 1000:  # the settings' file has room
            raise OSError(28, "No space left on device")
        return write(handle, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(MachineError, match=r"\.npy: .*[0-9,]{5,} bytes needed, [0-9,]+ free"):
        features.compute(cuts, CONFIG, tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.rglob(".*"))


def test_a_link_in_the_cache_is_replaced(cuts: CutSet, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("years of work")
    folder = tmp_path / "cache" / features.key(CONFIG)
    folder.mkdir(parents=True)
    os.symlink(victim, folder / "audio.json")
    features.compute(cuts.subset(first=1), CONFIG, tmp_path / "cache")
    assert victim.read_text() == "years of work"
