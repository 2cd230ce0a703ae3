"""espeak corpora: the same bytes from the same plan, in whatever folder, and refusals that name."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechseq.corpus import espeak, espeak_worker, generated_folder
from speechseq.errors import ConfigError, DataError, MachineError

pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
TEXTS = ["three one four", "Three one four.", '¿Qué? | "no"; $5', "three one four"]


def _sums(folder: Path) -> dict[str, str]:
    return json.loads((folder / generated_folder.MANIFEST).read_text("utf-8"))["sha256"]


def test_the_same_plan_makes_the_same_bytes_in_another_folder(tmp_path: Path) -> None:
    first = espeak.speak(TEXTS, tmp_path / "a")
    espeak.speak(TEXTS, tmp_path / "b" / "deeper")
    assert _sums(tmp_path / "a") == _sums(tmp_path / "b" / "deeper")
    assert [cut.supervisions[0].text for cut in first] == TEXTS
    assert {cut.sampling_rate for cut in first} == {22050}
    assert all(cut.duration > 0.5 for cut in first)
    # the reason why a plan is spoken in one fresh process: its first and last text are the same
    assert _sums(tmp_path / "a")["0000.wav"] != _sums(tmp_path / "a")["0003.wav"]


def test_a_folder_that_fits_is_used_and_a_spoiled_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    espeak.speak(TEXTS, tmp_path / "a")
    wav = tmp_path / "a" / "wavs" / "0001.wav"
    good, date = wav.read_bytes(), wav.stat().st_mtime_ns
    espeak.speak(TEXTS, tmp_path / "a")
    assert wav.stat().st_mtime_ns == date
    wav.write_bytes(good[:-1] + b"\1")
    espeak.speak(TEXTS, tmp_path / "a")
    assert wav.read_bytes() == good
    espeak.speak(TEXTS[:1], tmp_path / "a")
    assert [path.name for path in (tmp_path / "a" / "wavs").iterdir()] == ["0000.wav"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_voice_rate_and_pitch_are_heard(tmp_path: Path) -> None:
    def pitch_of(path: Path) -> float:
        samples, rate = soundfile.read(path)
        loud = samples[np.abs(samples).argmax() - 1024 :][:2048]
        spectrum = np.fft.irfft(np.abs(np.fft.rfft(loud * np.hanning(len(loud)), 8192)) ** 2)
        return rate / (60 + spectrum[60:400].argmax())  # autocorrelation, 55 to 370 Hz

    plan = [
        espeak.Utterance(id="plain", text="nine nine nine"),
        espeak.Utterance(id="fast", text="nine nine nine", rate=350),
        espeak.Utterance(id="high", text="nine nine nine", pitch=99),
        espeak.Utterance(id="woman", text="nine nine nine", voice="en+f3"),
        espeak.Utterance(id="plain-again", text="nine nine nine"),
    ]
    cuts = espeak.speak(plan, tmp_path / "a")
    length = {cut.id: cut.duration for cut in cuts}
    hertz = {cut.id: pitch_of(tmp_path / "a" / "wavs" / f"{cut.id}.wav") for cut in cuts}
    assert length["fast"] < 0.7 * length["plain"]
    assert hertz["high"] > 1.3 * hertz["plain"]
    assert hertz["woman"] > 1.3 * hertz["plain"]
    assert length["plain-again"] == pytest.approx(length["plain"], rel=0.01)
    assert hertz["plain-again"] == pytest.approx(hertz["plain"], rel=0.1)


def test_the_margin_is_exact_silence_at_both_ends(tmp_path: Path) -> None:
    espeak.speak(TEXTS, tmp_path / "a", margin=0.05)
    for path in (tmp_path / "a" / "wavs").iterdir():
        loud = np.flatnonzero(soundfile.read(path, dtype="int16")[0])
        silence = round(0.05 * 22050)
        assert loud[0] == silence
        assert 0 <= soundfile.info(path).frames - 1 - loud[-1] - silence <= 2


def test_the_voices_named_do_load() -> None:
    names = espeak.voices()
    assert {"en-us", "en", "de", "fr"} <= set(names)
    for name in names[::10]:
        espeak.set_voice(name)


def test_an_unknown_voice_is_refused_with_its_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        espeak.speak(["hello"], tmp_path / "a", voice="en-uss")
    assert "did you mean 'en-us'?" in caught.value.cure
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"id": "../x"}, ConfigError),
        ({"id": ""}, ConfigError),
        ({"rate": 10}, ConfigError),
        ({"pitch": 100}, ConfigError),
        ({"text": "…"}, DataError),
        ({"text": "a\0b"}, ConfigError),
    ],
)
def test_what_espeak_would_say_wrongly_is_refused(wrong: dict, error: type) -> None:
    with pytest.raises(error):
        espeak.Utterance(**({"id": "a", "text": "hello"} | wrong))


def test_ids_come_once_and_texts_are_not_none(tmp_path: Path) -> None:
    twice = [espeak.Utterance(id="a", text="x"), espeak.Utterance(id="a", text="y")]
    with pytest.raises(ConfigError, match="stand twice: a"):
        espeak.speak(twice, tmp_path / "a")
    with pytest.raises(ConfigError, match="no texts"):
        espeak.speak([], tmp_path / "a")


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="no spoken corpus"):
        espeak.speak(["hello"], tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_worker_that_dies_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak.sys, "executable", "/bin/false")
    with pytest.raises(MachineError, match="ended with 1"):
        espeak.speak(["hello"], tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MachineError("phonemes and espeak voices need it", "pip install 'speechseq[espeak]'")

    monkeypatch.setattr(espeak, "set_voice", lambda _: missing())
    with pytest.raises(MachineError, match="speechseq\\[espeak\\]"):
        espeak.speak(["hello"], tmp_path / "a")


def test_silence_is_refused_by_name(tmp_path: Path) -> None:
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    espeak_worker._write(wavs / "mute.wav", np.zeros(0, np.int16))
    espeak_worker._write(wavs / "loud.wav", np.ones(5, np.int16))
    with pytest.raises(DataError, match="1 texts: mute"):
        espeak._refuse_silence(wavs)
