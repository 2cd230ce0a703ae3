"""A transcriber reads each sound alike alone and in company, and refuses what it cannot hear."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile
import torch
from tiny_recogniser import (
    AUDIO,
    RATE,
    SYMBOL,
    VOCABULARY,
    save_recogniser,
    tiny_recogniser,
    tones,
    words,
)
from tiny_voice import save_voice

from speechseq.audio import wav
from speechseq.errors import CheckpointError, ConfigError, DataError, MachineError
from speechseq.inference import decoding
from speechseq.inference.decoding import Decoded
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.transcriber import Transcriber
from speechseq.inference.transcript import NO_SPEECH, Transcript
from speechseq.inference.transcript_builder import build_transcript
from speechseq.nn.attention.reading import ReadingConfig

TEXTS = [words(1 + i % 4, 9000 + i) for i in range(7)]


@pytest.fixture
def transcriber() -> Transcriber:
    return Transcriber(tiny_recogniser(), VOCABULARY, AUDIO, batch_size=3)


@pytest.fixture
def sounds() -> list[tuple[torch.Tensor, int]]:
    return [(tones(text, i), RATE) for i, text in enumerate(TEXTS)]


def test_each_sound_comes_back_as_its_text(transcriber: Transcriber, sounds: list) -> None:
    written = transcriber.transcribe(sounds)
    assert [item.text for item in written] == TEXTS
    for item, (waveform, _) in zip(written, sounds, strict=True):
        assert item.finished
        assert item.seconds == pytest.approx(len(waveform) / RATE)
        assert item.symbols == (*item.text, "<eos>")
        assert item.alignment.shape[0] == len(item.symbols)
        assert item.seconds_per_position == pytest.approx(2 * AUDIO.hop / RATE)
        torch.testing.assert_close(item.alignment.sum(1), torch.ones(len(item.symbols)))
        assert VOCABULARY.decode(item.tokens) == item.text


def test_words_stand_where_they_were_said(transcriber: Transcriber, sounds: list) -> None:
    """A symbol lasts 0.1 s; each edge is found to about a position, 0.04 s."""
    for text, item in zip(TEXTS, transcriber.transcribe(sounds), strict=True):
        assert [word.text for word in item.words] == text.split()
        place = 0
        for word in item.words:
            start, end = place / 10, (place + len(word.text)) / 10
            place += len(word.text) + 1
            assert word.start == pytest.approx(start, abs=0.06)
            assert word.end == pytest.approx(end, abs=0.06)


def test_confidences_are_the_models_probabilities(transcriber: Transcriber, sounds: list) -> None:
    (item,) = transcriber.transcribe(sounds[3:4], n_best=3)
    assert len(item.token_confidences) == len(item.tokens)
    product = torch.tensor(item.token_confidences).log().sum()
    assert item.log_prob <= float(product) <= 0.0  # eos has its share too
    spelled = iter(item.token_confidences)
    for word in item.words:
        expected = 1.0
        for _ in word.text:
            expected *= next(spelled)
        assert word.confidence == pytest.approx(expected)
        next(spelled, None)  # the space
    assert item.n_best[0].text == item.text
    assert len({reading.text for reading in item.n_best}) == 3
    scores = [reading.score for reading in item.n_best]
    assert scores == sorted(scores, reverse=True)
    for reading in item.n_best:
        assert sum(reading.terms.values()) == pytest.approx(reading.score)


def alike(one: Transcript, other: Transcript) -> bool:
    torch.testing.assert_close(one.alignment, other.alignment, atol=1e-9, rtol=0)
    assert one.log_prob == pytest.approx(other.log_prob, abs=1e-9)
    for a, b in zip(one.words, other.words, strict=True):
        assert (a.start, a.end) == pytest.approx((b.start, b.end), abs=1e-6)
    return one.text == other.text and one.tokens == other.tokens


def test_a_reading_does_not_depend_on_its_neighbours(
    transcriber: Transcriber, sounds: list
) -> None:
    """The word error that changes with the batch."""
    transcriber.model.double()  # so that a difference is an error, not rounding
    for sound in sounds[:2]:
        sound[0].add_(0.3 * torch.randn(len(sound[0])))  # hard to read: ties are near
    together = transcriber.transcribe(sounds)
    backwards = transcriber.transcribe(sounds[::-1])[::-1]
    transcriber.batch_size = 16
    at_once = transcriber.transcribe(sounds)
    for i, sound in enumerate(sounds):
        (alone,) = transcriber.transcribe([sound])
        assert all(alike(alone, other[i]) for other in (together, backwards, at_once))


def test_files_and_waveforms_of_any_rate_are_heard(
    transcriber: Transcriber, sounds: list, tmp_path: Path
) -> None:
    waveform = sounds[3][0]
    twice = wav.resample(waveform.unsqueeze(0), RATE, 2 * RATE)
    wav.save(tmp_path / "x.wav", waveform, RATE)
    soundfile.write(tmp_path / "x.flac", twice[0].numpy(), 2 * RATE)
    soundfile.write(tmp_path / "two.wav", torch.stack([waveform, waveform], 1).numpy(), RATE)
    given = [tmp_path / "x.wav", str(tmp_path / "x.flac"), tmp_path / "two.wav"]
    with pytest.warns(wav.WavWarning) as caught:
        written = transcriber.transcribe(
            [*given, (waveform.unsqueeze(0), RATE), (twice, 2 * RATE), (waveform.double(), RATE)]
        )
    assert {item.text for item in written} == {TEXTS[3]}
    assert len(caught) == 2  # two channels mixed down, one file resampled


def bad_sounds(folder: Path) -> dict[str, tuple[object, str]]:
    """Make unusable sounds by name, each with a part of the error message."""
    (folder / "text.wav").write_text("no sound")
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "none.wav", torch.zeros(0).numpy(), RATE)
    nan = torch.zeros(4000)
    nan[123] = float("nan")
    soundfile.write(folder / "nan.wav", nan.numpy(), RATE, subtype="FLOAT")
    wav.save(folder / "short.wav", torch.zeros(50), RATE)
    wav.save(folder / "long.wav", torch.zeros(61 * RATE), RATE)
    return {
        "missing": (folder / "missing.wav", "missing.wav: no such file"),
        "text": (folder / "text.wav", "text.wav: holds text"),
        "empty": (folder / "empty.wav", "empty.wav: is empty"),
        "no samples": (folder / "none.wav", "none.wav: has 0 samples"),
        "NaN in a file": (folder / "nan.wav", "the first is sample 123"),
        "short file": (folder / "short.wav", "short.wav: 6.2 ms of sound, too short"),
        "long file": (folder / "long.wav", "long.wav: 61.0 seconds at once"),
        "NaN": ((nan, RATE), "1 samples are NaN or Inf, the first is sample 123"),
        "nothing": ((torch.zeros(0), RATE), "has 0 samples"),
        "short": ((torch.zeros(199), RATE), "too short for one frame of 25.0 ms"),
        "long": ((torch.zeros(61 * RATE), RATE), "61.0 seconds at once, more than the 60"),
        "a batch": ((torch.zeros(3, 4000), RATE), r"shape \(3, 4000\)"),
        "integers": ((torch.ones(4000, dtype=torch.int16), RATE), "torch.int16"),
        "16-bit scale": ((torch.full((4000,), 9000.0), RATE), "up to 9000"),
        "a rate of 0": ((torch.zeros(4000), 0), "0 samples a second"),
    }


def test_bad_sounds_do_not_harm_the_rest(
    transcriber: Transcriber, sounds: list, tmp_path: Path
) -> None:
    bad = bad_sounds(tmp_path)
    for name, (sound, expected) in bad.items():
        with pytest.raises(DataError, match=expected) as caught:
            transcriber.transcribe([sound])
        assert caught.value.cure, name
    mixed = [
        x
        for pair in zip(sounds, list(bad.values())[:7], strict=True)
        for x in (pair[0], pair[1][0])
    ]
    written = transcriber.attempt(mixed)
    assert [item.text for item in written[::2]] == TEXTS
    assert all(isinstance(item, DataError) for item in written[1::2])


def test_all_bad_sounds_are_named_before_anything_runs(
    transcriber: Transcriber, sounds: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speechseq.inference.transcriber.decode", None)  # a call would fail
    with pytest.raises(DataError) as caught:
        transcriber.transcribe([sounds[0], "no/a.wav", sounds[1], (torch.zeros(3), RATE)])
    assert "sounds[1]: no/a.wav: no such file" in caught.value.problem
    assert "sounds[3]: " in caught.value.problem
    assert "sounds[0]" not in caught.value.problem


def test_features_that_are_not_finite_cost_only_their_own_row(
    transcriber: Transcriber, sounds: list
) -> None:
    features = [transcriber._features(waveform.unsqueeze(0)) for waveform, _ in sounds]
    features[2][5, 3] = float("nan")
    features[4][0, 0] = float("inf")
    found = decoding.decode(transcriber.model, features, Greedy())
    for i, (text, item) in enumerate(zip(TEXTS, found, strict=True)):
        if i in (2, 4):
            assert isinstance(item, DataError)
        else:
            assert VOCABULARY.decode(item.hypotheses[0].tokens) == text


class Cramped(Greedy):
    """A search in a memory that holds only so many padded positions."""

    def search(self, model: object, encoded: object, scorers: Sequence = ()) -> list:
        if encoded.memory.shape[0] * encoded.memory.shape[1] > 60:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …")
        return super().search(model, encoded, scorers)


def test_a_batch_that_does_not_fit_in_memory_is_halved(
    transcriber: Transcriber, sounds: list
) -> None:
    transcriber.batch_size = 16
    long = (tones(words(12, 3)), RATE)
    written = transcriber.attempt([*sounds, long], strategy=Cramped())
    assert [item.text for item in written[:-1]] == TEXTS
    assert isinstance(written[-1], MachineError)
    with pytest.raises(MachineError, match=r"sounds\[1\]: does not fit in memory"):
        transcriber.transcribe([sounds[0], long], strategy=Cramped())


def test_other_faults_are_not_taken_for_a_full_memory(
    transcriber: Transcriber, sounds: list
) -> None:
    class Broken(Greedy):
        def search(self, model: object, encoded: object, scorers: Sequence = ()) -> list:
            raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        transcriber.attempt(sounds, strategy=Broken())


def test_a_diverged_model_is_named_as_the_culprit(transcriber: Transcriber, sounds: list) -> None:
    with torch.no_grad():
        transcriber.model.speller.symbols.bias.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="NaN or Inf"):
        transcriber.transcribe(sounds[:2])


def test_long_sounds_share_a_batch_with_few_others(transcriber: Transcriber) -> None:
    transcriber.batch_size = 4  # 80 seconds in all
    samples = {i: second * RATE for i, second in enumerate([30, 1, 2, 30, 30, 50, 1, 30])}
    batches = list(transcriber._batches(samples))
    assert sorted(i for rows in batches for i in rows) == list(range(8))
    for rows in batches:
        assert len(rows) <= 4
        assert len(rows) * max(samples[i] for i in rows) <= 80 * RATE


def test_greedy_and_other_searches_may_be_given(transcriber: Transcriber, sounds: list) -> None:
    written = transcriber.transcribe(sounds, strategy=Greedy())
    assert [item.text for item in written] == TEXTS
    assert all(len(item.n_best) == 1 for item in written)


def test_a_ctc_head_places_the_words(transcriber: Transcriber) -> None:
    """The attention is made to look everywhere at once; only the head knows the places."""
    text, rate = "abc ab c", SYMBOL // 2  # two positions a symbol
    tokens = VOCABULARY.encode(text)[:-1]
    positions = 2 * len(tokens)
    hypothesis = Hypothesis(
        tokens=tuple(tokens),
        score=0.0,
        terms={"attention": 0.0},
        finished=True,
        alignment=torch.full((len(tokens) + 1, positions), 1 / positions),
        token_log_probs=torch.zeros(len(tokens) + 1),
    )
    head = torch.zeros(positions, len(VOCABULARY))
    head[torch.arange(positions), torch.tensor(tokens).repeat_interleave(2)] = 9.0
    sound = tones(text).unsqueeze(0)
    numbers = (VOCABULARY, sound, RATE, rate / RATE)
    placed = build_transcript(Decoded([hypothesis], head.log_softmax(1)), *numbers)
    lost = build_transcript(Decoded([hypothesis], None), *numbers)
    starts = [0.0, 0.4, 0.7]
    assert [word.start for word in placed.words] == pytest.approx(starts, abs=0.06)
    assert [word.start for word in lost.words] != pytest.approx(starts, abs=0.06)


@pytest.mark.parametrize(
    ("empty", "confidences", "expected"),
    [
        (0.0, (), 0.0),
        (0.9, (), 0.9),
        (0.0, (1.0, 1.0), 0.0),
        (0.0, (0.5, 0.3), 0.6),
        (0.5, (0.8,), 0.6),
        (1.0, (0.9,), 1.0),
    ],
)
def test_no_speech_joins_an_early_end_and_the_confidence_of_tokens(empty, confidences, expected):
    tokens = VOCABULARY.encode("a" * len(confidences))[:-1]
    hypothesis = Hypothesis(
        tokens=tuple(tokens),
        score=0.0,
        terms={},
        finished=True,
        alignment=torch.full((len(tokens) + 1, 10), 0.1),
        token_log_probs=torch.tensor([*confidences, 0.7]).log(),
        empty_log_prob=math.log(empty) if empty else -math.inf,
    )
    transcript = build_transcript(
        Decoded([hypothesis], None), VOCABULARY, tones("abc").unsqueeze(0), RATE, 0.04
    )
    assert transcript.no_speech == pytest.approx(expected, abs=1e-6)


def test_words_that_were_said_are_no_silence(transcriber: Transcriber, sounds: list) -> None:
    assert all(0 <= item.no_speech < NO_SPEECH for item in transcriber.transcribe(sounds))


def test_a_model_in_training_goes_on_training(transcriber: Transcriber, sounds: list) -> None:
    transcriber.model.train()
    transcriber.transcribe(sounds[:1])
    assert transcriber.model.training


def test_a_checkpoint_folder_alone_is_enough(
    transcriber: Transcriber, sounds: list, tmp_path: Path
) -> None:
    loaded = Transcriber.load(save_recogniser(tmp_path / "las"))
    assert not loaded.model.training
    here, there = transcriber.transcribe(sounds), loaded.transcribe(sounds)
    assert [item.text for item in here] == [item.text for item in there]


def test_the_reading_of_the_attention_may_be_replaced(sounds: list, tmp_path: Path) -> None:
    folder = save_recogniser(tmp_path / "las")
    reading = ReadingConfig(sharpening=2.0, window=3)
    loaded = Transcriber.load(folder, reading=reading)
    assert loaded.model.speller.core.attention.reading == reading
    plain, sharp = Transcriber.load(folder).transcribe(sounds), loaded.transcribe(sounds)
    assert float(sharp[3].alignment.amax(1).mean()) > float(plain[3].alignment.amax(1).mean())


def test_checkpoints_of_the_other_family_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="kind 'tacotron', not 'las'"):
        Transcriber.load(save_voice(tmp_path / "voice"))
    with pytest.raises(CheckpointError, match="kind 'las', not 'tacotron'"):
        Synthesizer.load(save_recogniser(tmp_path / "las"))


def test_wrong_calls(transcriber: Transcriber, sounds: list, tmp_path: Path) -> None:
    assert transcriber.transcribe([]) == []
    with pytest.raises(ConfigError, match="one path"):
        transcriber.transcribe(os.fspath(tmp_path))
    with pytest.raises(ConfigError, match="n_best"):
        transcriber.transcribe(sounds, beam=2, n_best=3)
    with pytest.raises(ConfigError, match="unknown 'gpu'"):
        Transcriber.load(tmp_path, device="gpu")
