"""The public entry points, called with exactly the documented arguments."""

import dataclasses
import inspect
from pathlib import Path

import pytest
import torch
from tiny_recogniser import save_recogniser, tones
from tiny_voice import save_voice

from speechseq.audio.augment import SpecAugmentPolicy, spec_augment
from speechseq.audio.griffin_lim import griffin_lim
from speechseq.audio.mel import AudioConfig, log_mel, magnitude, mel_to_magnitude
from speechseq.audio.wav import load, save
from speechseq.batch import ASRBatch, TTSBatch
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import las_paper, las_small
from speechseq.models.tacotron import tacotron1, tacotron2
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.cbhg import CBHG
from speechseq.nn.frames import group_frames, teacher_inputs, ungroup_frames
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import Prenet
from speechseq.nn.pyramid import PyramidBiLSTM
from speechseq.text.normalize import normalize
from speechseq.text.vocabulary import Vocabulary

AUDIO = AudioConfig.preset("nvidia")


def defaults(call) -> dict[str, object]:
    parameters = inspect.signature(call).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def test_nn():
    lengths, x = torch.tensor([7, 4]), torch.randn(2, 7, 6)
    assert length_mask(lengths).sum() == length_mask(lengths, max_length=9).sum() == 11
    assert length_mask(lengths, 9).shape == (2, 9)
    grouped = group_frames(x, 3, padding_value=0.0)
    assert grouped.shape == (2, 3, 18)
    assert torch.equal(ungroup_frames(grouped, 3)[:, :7], x)
    assert teacher_inputs(x, 3).shape == (2, 3, 6)
    assert Prenet(6, sizes=(256, 128), dropout=0.5)(x).shape == (2, 7, 128)
    cbhg = CBHG(128, bank=16, channels=128, projections=(128, 128), highways=4, gru=128)
    assert defaults(CBHG).items() >= {"bank": 16, "channels": 128, "highways": 4}.items()
    assert cbhg(torch.randn(2, 7, 128), lengths).shape == (2, 7, 256)
    encoded = PyramidBiLSTM(6, 5, layers=3, join=2)(x, lengths)
    assert encoded.memory_lengths.tolist() == [1, 1]


@pytest.mark.parametrize("config", [ContentConfig, LocationSensitiveConfig, DotConfig])
def test_attention(config):
    module = config().build(query_dim=6, memory_dim=5)
    memory, mask = torch.randn(2, 7, 5), length_mask(torch.tensor([7, 4]))
    context, weights, _ = module(torch.randn(2, 6), module.start(memory, mask))
    assert context.shape == (2, 5)
    assert weights.shape == (2, 7)


def test_audio(tmp_path):
    save(tmp_path / "a.wav", torch.randn(1, 8000).clamp(-1, 1) / 2, 22050)
    waveform, rate = load(tmp_path / "a.wav", sample_rate=None)
    assert (waveform.shape, rate) == ((1, 8000), 22050)
    mel, linear = log_mel(waveform, AUDIO), magnitude(waveform, AUDIO)
    assert mel_to_magnitude(mel, AUDIO).shape == linear.shape
    options = {"iterations": 2, "momentum": 0.99, "power": 1.0, "seed": None}
    assert griffin_lim(linear, AUDIO, **options, frame_lengths=None).shape[0] == 1
    assert defaults(griffin_lim).items() >= (options | {"iterations": 60}).items()
    frames = torch.tensor([mel.shape[1]])
    assert spec_augment(mel, frames, SpecAugmentPolicy(), generator=None).shape == mel.shape


def test_text(tmp_path):
    vocabulary = Vocabulary.characters("abc ")
    assert vocabulary.decode(vocabulary.encode(normalize("Cab"))) == "cab"
    vocabulary.save(tmp_path / "vocabulary.json")
    assert len(Vocabulary.load(tmp_path / "vocabulary.json")) == len(vocabulary)


@pytest.mark.parametrize("builder", [tacotron1, tacotron2])
def test_tacotron(builder):
    """Also without the bins of a linear spectrum: those of the default audio settings."""
    model = builder(reduction_factor=2).build(symbols=9, mels=AUDIO.mels)
    batch = TTSBatch(
        tokens=torch.randint(4, 9, (2, 3)),
        token_lengths=torch.tensor([3, 2]),
        mel=torch.randn(2, 4, AUDIO.mels),
        frame_lengths=torch.tensor([4, 3]),
    )
    output = model(batch)
    assert output.mel_before.shape == output.mel_after.shape == (2, 4, AUDIO.mels)
    assert output.stop_logits.shape == (2, 2)
    assert output.alignment.shape == (2, 2, 3)
    speech = model.generate(batch.tokens, batch.token_lengths, seed=None, max_steps=2)
    assert speech.mel_after.shape[::2] == (2, AUDIO.mels)
    assert len(speech.finished_reason) == len(speech.frame_lengths) == len(speech.alignment) == 2
    if speech.log_magnitude is not None:
        assert speech.log_magnitude.shape[2] == AUDIO.bins


@pytest.mark.parametrize("builder", [las_small, las_paper])
def test_las(builder):
    model = builder().build(symbols=9, features=40)
    batch = ASRBatch(
        features=torch.randn(2, 20, 40),
        feature_lengths=torch.tensor([20, 13]),
        tokens=torch.tensor([[4, 5, 1], [6, 1, 0]]),
        token_lengths=torch.tensor([3, 2]),
    )
    assert model(batch).log_probs.shape == (2, 3, 9)
    assert {"features", "tokens"} < {field.name for field in dataclasses.fields(batch)}


def test_synthesizer(tmp_path: Path):
    synthesizer = Synthesizer.load(save_voice(tmp_path / "voice"), device="cpu")
    (speech,) = synthesizer.synthesize(["ab"], seed=None)
    assert speech.waveform.ndim == 1
    assert speech.sample_rate == synthesizer.audio.sample_rate
    assert len(speech.mel) > 0 < len(speech.alignment)
    assert speech.finished_reason in ("stop", "attention_end", "limit")


def test_transcriber(tmp_path: Path):
    transcriber = Transcriber.load(save_recogniser(tmp_path / "ears"), device="cpu")
    save(tmp_path / "a.wav", tones(" ab c "), 8000)
    sounds = [tmp_path / "a.wav", (tones(" ab c "), 8000)]
    first, second = transcriber.transcribe(sounds, beam=8, n_best=1)
    assert first.text == second.text == " ".join(word.text for word in first.words) != ""
    assert first.log_prob <= 0
    assert first.words[0].start < first.words[0].end
    assert len(first.n_best) == 1
