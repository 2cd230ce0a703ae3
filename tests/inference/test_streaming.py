"""Speech in chunks is the speech made at once: samples, mel, pauses, reasons and refusals."""

import itertools

import pytest
import torch
from tiny_voice import AUDIO, MODEL, VOCABULARY, tiny_model

from speechseq.audio.mel import log_mel
from speechseq.errors import CheckpointError, ConfigError, DataError
from speechseq.inference.streaming import Chunk, chunk_sizes
from speechseq.inference.synthesizer import Synthesizer, VocoderConfig
from speechseq.models.postnets import LinearPostnetConfig
from speechseq.models.tacotron import TacotronConfig

LONG = "one two three four " * 30


def test_streaming_chunks_are_the_speech_made_at_once() -> None:
    voice = Synthesizer(tiny_model().eval(), VOCABULARY, AUDIO, VocoderConfig(iterations=8))
    for text, frames in (("seven two nine", 64), ("seven two nine", 3), ("a", 1), (LONG, 64)):
        (whole,) = voice.synthesize([text], seed=3)
        found = list(voice.stream(text, seed=3, chunk_frames=frames))
        assert sum(len(chunk.waveform) for chunk in found) == len(whole.waveform)
        mel = torch.cat([chunk.mel for chunk in found])
        torch.testing.assert_close(mel, whole.mel, rtol=0, atol=1e-5)
        assert all(0 < len(chunk.mel) <= frames for chunk in found)
        assert all(float(c.waveform.abs().max()) <= 1 for c in found if len(c.waveform))
        reasons = [chunk.finished_reason for chunk in found if chunk.finished_reason]
        assert found[-1].finished_reason
        assert len(reasons) == len(voice.readings(text))


def test_sound_is_as_near_as_another_seed_of_griffin_lim() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        model.decoder.frames.bias.fill_(-4.0)  # quiet, so that nothing is scaled
        model.decoder.stop.bias.fill_(-20.0)
    voice = Synthesizer(model, VOCABULARY, AUDIO)
    mels = []
    for seed in (3, 4):
        (whole,) = voice.synthesize(["seven two nine four"], seed=seed)
        mels.append(log_mel(whole.waveform[None], AUDIO))
    found = [c.waveform for c in voice.stream("seven two nine four", seed=3)]
    ours = log_mel(torch.cat(found)[None], AUDIO)
    assert len(found) > 1
    assert float((ours - mels[0]).abs().mean()) < float((mels[1] - mels[0]).abs().mean())


def test_loud_sound_is_turned_down_without_a_jump() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        model.decoder.frames.bias.fill_(5.0)
    voice = Synthesizer(model, VOCABULARY, AUDIO, VocoderConfig(iterations=2))
    found = torch.cat([c.waveform for c in voice.stream("seven two nine", seed=3)])
    assert 0.5 < float(found.abs().max()) <= 1


def test_errors_come_before_the_first_chunk(synthesizer: Synthesizer) -> None:
    for text in ("", "...", "what?", "what? " * 100):
        with pytest.raises(DataError):
            synthesizer.stream(text)
    with pytest.raises(ConfigError, match="chunk_frames"):
        synthesizer.stream("one", chunk_frames=0)
    with pytest.raises(ConfigError, match="speaker"):
        synthesizer.stream("one", speaker="nobody")


def test_a_voice_with_a_bidirectional_post_net_is_refused(synthesizer: Synthesizer) -> None:
    postnet = LinearPostnetConfig(bank=2, channels=8, projections=(8,), highways=1, gru=4)
    config = TacotronConfig(encoder=MODEL.encoder, decoder=MODEL.decoder, postnet=postnet)
    model = config.build(symbols=len(VOCABULARY), mels=AUDIO.mels, bins=AUDIO.bins)
    with pytest.raises(
        ConfigError, match=r"reads an utterance to its end(.|\n)*cure: speak without"
    ):
        Synthesizer(model, VOCABULARY, AUDIO).stream("one")


def test_a_diverged_model_is_named(synthesizer: Synthesizer) -> None:
    with torch.no_grad():
        synthesizer.model.decoder.frames.bias.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="'abc' has NaN or Inf"):
        next(synthesizer.stream("abc", seed=0))


def test_the_first_chunk_of_a_long_text_needs_its_first_piece_only(
    synthesizer: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = type(synthesizer.model).encode
    monkeypatch.setattr(
        type(synthesizer.model),
        "encode",
        lambda self, text: encoded.append(1) or encode(self, text),
    )
    first = next(synthesizer.stream(LONG, seed=0, max_steps=40))
    assert isinstance(first, Chunk)
    assert (len(first.mel), len(encoded)) == (16, 1)


def test_the_first_chunks_are_short() -> None:
    assert list(itertools.islice(chunk_sizes(64), 4)) == [16, 32, 64, 64]
    assert list(itertools.islice(chunk_sizes(5), 2)) == [5, 5]
