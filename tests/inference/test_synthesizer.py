"""A synthesizer speaks every text the same alone and in company, and refuses what it cannot say."""

from pathlib import Path

import pytest
import torch

from speechseq.audio.griffin_lim import griffin_lim
from speechseq.audio.mel import AudioConfig, expand
from speechseq.errors import CheckpointError, ConfigError, DataError, MachineError
from speechseq.inference.device import checked_device
from speechseq.inference.synthesizer import Synthesizer, VocoderConfig
from speechseq.models.postnets import LinearPostnetConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig
from speechseq.text.vocabulary import Vocabulary

TEXTS = ["three one four", "a", "one five nine two six", "five three", "ab"]


def test_each_text_comes_back_as_speech_of_its_own_length(synthesizer: Synthesizer) -> None:
    spoken = synthesizer.synthesize(TEXTS, seed=3)
    assert [speech.text for speech in spoken] == TEXTS
    for speech in spoken:
        frames, steps = len(speech.mel), len(speech.alignment)
        assert frames == 2 * steps  # the reduction factor
        assert len(speech.waveform) == (frames - 1) * synthesizer.audio.hop
        assert speech.symbols == (*speech.normalized, "<eos>")
        assert speech.alignment.shape == (steps, len(speech.symbols))
        torch.testing.assert_close(speech.alignment.sum(1), torch.ones(steps))
        assert speech.finished_reason in ("stop", "attention_end", "limit")
        assert float(speech.waveform.abs().max()) <= 1


def test_one_seed_gives_one_result_alone_or_in_any_batch(synthesizer: Synthesizer) -> None:
    synthesizer.model.double()  # so that a difference is an error, not rounding
    together = synthesizer.synthesize(TEXTS, seed=5)
    backwards = synthesizer.synthesize(TEXTS[::-1], seed=5)[::-1]
    for text, batched, turned in zip(TEXTS, together, backwards, strict=True):
        (alone,) = synthesizer.synthesize([text], seed=5)
        for other in (batched, turned):
            torch.testing.assert_close(other.waveform, alone.waveform, rtol=0, atol=1e-6)
            torch.testing.assert_close(other.mel, alone.mel)
            assert other.finished_reason == alone.finished_reason


def test_another_seed_gives_another_result_and_no_seed_a_new_one(synthesizer: Synthesizer) -> None:
    def mel(seed: int | None) -> torch.Tensor:
        return synthesizer.synthesize(["three one four"], seed=seed, max_steps=3)[0].mel

    assert torch.equal(mel(1), mel(1))
    assert not torch.equal(mel(1), mel(2))
    assert not torch.equal(mel(None), mel(None))


def test_max_steps_ends_a_text_and_says_so(synthesizer: Synthesizer) -> None:
    with torch.no_grad():  # the stop head never fires
        synthesizer.model.decoder.stop.weight.zero_()
        synthesizer.model.decoder.stop.bias.fill_(-9.0)
    (speech,) = synthesizer.synthesize(["three one four"], seed=0, max_steps=3)
    assert (len(speech.alignment), speech.finished_reason) == (3, "limit")


def test_linear_magnitudes_are_used_where_the_model_makes_them(
    model: Tacotron, synthesizer: Synthesizer
) -> None:
    audio, vocabulary = synthesizer.audio, synthesizer.vocabulary
    postnet = LinearPostnetConfig(bank=2, channels=8, projections=(8,), highways=1, gru=4)
    config = TacotronConfig(
        encoder=model.config.encoder, decoder=model.config.decoder, postnet=postnet
    )
    linear = config.build(symbols=len(vocabulary), mels=audio.mels, bins=audio.bins)
    vocoder = VocoderConfig(iterations=3, momentum=0.5, linear_power=1.2)
    (speech,) = Synthesizer(linear, vocabulary, audio, vocoder).synthesize(["abc"], seed=2)
    ids = torch.tensor([vocabulary.encode("abc")])
    output = linear.generate(ids, torch.tensor([ids.shape[1]]), seed=2)
    expected = griffin_lim(
        expand(output.log_magnitude, audio), audio, iterations=3, momentum=0.5, power=1.2, seed=2
    )
    expected = expected[0] / expected.abs().max().clamp(min=1.0)
    torch.testing.assert_close(speech.waveform, expected)


def test_a_model_in_training_goes_on_training(synthesizer: Synthesizer) -> None:
    synthesizer.model.train()
    before = {name: tensor.clone() for name, tensor in synthesizer.model.state_dict().items()}
    synthesizer.synthesize(["abc"], seed=0)
    assert synthesizer.model.training
    for name, tensor in synthesizer.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_every_text_that_cannot_be_spoken_is_named(synthesizer: Synthesizer) -> None:
    with pytest.raises(DataError) as caught:
        synthesizer.synthesize(["one", "", "two", " ... ", "what?"])
    problem = caught.value.problem
    assert "texts[1]: nothing to say" in problem
    assert "texts[3]: nothing to say" in problem
    assert "texts[4]: unknown symbols" in problem
    assert "'?'" in problem
    assert "texts[0]" not in problem
    assert "texts[2]" not in problem


def test_a_single_string_is_no_list_of_texts(synthesizer: Synthesizer) -> None:
    with pytest.raises(ConfigError, match="one string"):
        synthesizer.synthesize("one two")


def test_no_texts_give_no_speech(synthesizer: Synthesizer) -> None:
    assert synthesizer.synthesize([]) == []


def test_a_checkpoint_folder_alone_is_enough(
    voice: Path, model: Tacotron, synthesizer: Synthesizer
) -> None:
    loaded = Synthesizer.load(voice)
    loaded.vocoder = synthesizer.vocoder
    (there,) = loaded.synthesize(["one two"], seed=4)
    (here,) = synthesizer.synthesize(["one two"], seed=4)
    assert torch.equal(there.waveform, here.waveform)
    assert not loaded.model.training


def test_a_diverged_model_is_named_as_the_culprit(synthesizer: Synthesizer) -> None:
    with torch.no_grad():
        synthesizer.model.decoder.frames.bias.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="'abc' has NaN or Inf"):
        synthesizer.synthesize(["abc"], seed=0)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("gpu", ConfigError),
        pytest.param(
            "cuda:99", MachineError, id="cuda:99"
        ),  # even a machine with GPUs has fewer than 100
    ],
)
def test_devices_that_do_not_exist(name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        checked_device(name)


def test_a_vocabulary_with_digits_kept_out_of_normalisation(model: Tacotron) -> None:
    # normalize has made words of the digits before the vocabulary sees them
    audio = AudioConfig(n_fft=256, hop=64, window=256, mels=20, sample_rate=8000, fmax=4000.0)
    vocabulary = Vocabulary.characters("abcdefghijklmnopqrstuvwxyz ")
    reading = Synthesizer(model, vocabulary, audio).read("Three")
    assert vocabulary.decode(reading.ids) == "three"


def test_an_unknown_symbol_is_named_with_what_the_voice_knows(synthesizer: Synthesizer) -> None:
    with pytest.raises(DataError, match=r"',' .*\n  cure: this voice learned only these symbols"):
        synthesizer.read("one, two")


def test_a_precision_reaches_the_loop(voice: Path) -> None:
    mels = {
        precision: Synthesizer.load(voice, precision=precision)
        .synthesize(["three one four"], seed=0, max_steps=5)[0]
        .mel
        for precision in ("float32", "bfloat16", "int8")
    }
    for precision in ("bfloat16", "int8"):
        error = (mels[precision] - mels["float32"]).norm() / mels["float32"].norm()
        assert 0 < error < 0.02
    with pytest.raises(ConfigError, match="precision: 'half' is not known"):
        Synthesizer.load(voice, precision="half")
