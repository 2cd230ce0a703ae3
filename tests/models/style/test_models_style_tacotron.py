"""Styles and speakers in both Tacotrons."""

import dataclasses
import math

import pytest
import torch
from tiny_tacotron import MELS, SYMBOLS, TINY
from torch import Tensor

from speechseq.batch import TTSBatch
from speechseq.errors import ConfigError, DataError
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.speakers import speakers
from speechseq.models.style import builders
from speechseq.models.style.latent import Latent
from speechseq.models.style.reference import ReferenceConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig

STYLE = dataclasses.replace(
    builders.vae(dim=3, style_dim=6, length=0), reference=ReferenceConfig(filters=(4, 4), gru=8)
)
NAMES = ("anna", "boris", "cleo")
LOSS = TacotronLoss(TacotronLossConfig(linear=0.0))
each_model = pytest.mark.parametrize("model", TINY)
each_join = pytest.mark.parametrize("join", ["add", "concat"])


def config(model: str, **parts: object) -> TacotronConfig:
    return dataclasses.replace(TINY[model](), **parts)


def build(model: str, **parts: object) -> Tacotron:
    torch.manual_seed(0)
    return config(model, **parts).build(symbols=SYMBOLS, mels=MELS).double()


def batch(**more: object) -> TTSBatch:
    own = torch.Generator().manual_seed(1)
    return TTSBatch(
        tokens=torch.randint(SYMBOLS, (3, 7), generator=own),
        token_lengths=torch.tensor([7, 4, 5]),
        mel=torch.randn(3, 12, MELS, generator=own, dtype=torch.float64),
        frame_lengths=torch.tensor([12, 9, 5]),
        **more,
    )


@each_model
@each_join
def test_an_utterance_alone_is_its_row_with_style_and_speaker(model, join):
    tacotron = build(model, style=STYLE, speakers=speakers(NAMES, sites="all"), join=join).eval()
    whole = batch(speaker=torch.tensor([2, 0, 1]))
    together = tacotron(whole)
    for row in range(3):
        tokens, frames = int(whole.token_lengths[row]), int(whole.frame_lengths[row])
        alone = tacotron(
            TTSBatch(
                tokens=whole.tokens[row : row + 1, :tokens],
                token_lengths=whole.token_lengths[row : row + 1],
                mel=whole.mel[row : row + 1, :frames],
                frame_lengths=whole.frame_lengths[row : row + 1],
                speaker=torch.tensor([[2, 0, 1][row]]),
            )
        )
        torch.testing.assert_close(
            alone.mel_after[0, :frames], together.mel_after[row, :frames], rtol=0, atol=1e-10
        )


@each_model
@each_join
def test_style_and_speaker_change_what_is_said_and_padding_does_not(model, join):
    tacotron = build(model, style=STYLE, speakers=speakers(NAMES), join=join).eval()
    given = batch(speaker=torch.tensor([0, 0, 0]))
    plain = tacotron(given).mel_after
    for other in (
        dataclasses.replace(given, speaker=torch.tensor([1, 0, 0])),
        dataclasses.replace(
            given, reference=given.mel.flip(0), reference_lengths=given.frame_lengths.flip(0)
        ),
    ):
        changed = (tacotron(other).mel_after - plain).abs().amax((1, 2))
        assert changed[0] > 1e-6
    assert torch.equal(
        tacotron(dataclasses.replace(given, speaker=torch.tensor([1, 0, 0]))).mel_after[1:],
        plain[1:],
    )


@each_model
def test_the_reference_is_the_target_by_default(model):
    tacotron, given = build(model, style=STYLE).eval(), batch()
    explicit = dataclasses.replace(
        given, reference=given.mel, reference_lengths=given.frame_lengths
    )
    assert torch.equal(tacotron(given).mel_after, tacotron(explicit).mel_after)


@each_model
def test_without_a_style_the_model_draws_and_computes_as_before(model):
    def names(tacotron: Tacotron) -> dict[str, Tensor]:
        return {
            k: v
            for k, v in tacotron.state_dict().items()
            if not k.startswith(("style", "speakers", "join"))
        }

    plain = build(model)
    after = torch.rand(1)
    build(model)
    assert torch.equal(after, torch.rand(1))
    assert names(plain).keys() == plain.state_dict().keys()
    assert names(build(model, style=STYLE)).keys() == plain.state_dict().keys()
    old = config(model).to_dict()
    for key in ("style", "speakers", "join"):
        del old[key]  # as a checkpoint of an earlier version
    assert TacotronConfig.from_dict(old) == config(model)


@each_model
def test_penalties_are_terms_of_the_loss_and_follow_the_update(model):
    anneal = dataclasses.replace(STYLE.penalty, weight=2.0, length=10)
    tacotron = build(model, style=dataclasses.replace(STYLE, penalty=anneal))
    tacotron.at_update(5)
    torch.manual_seed(3)
    output = tacotron(batch())
    losses = LOSS(output, batch(), update=5)
    torch.testing.assert_close(losses.terms["kl"], output.penalties["kl"])
    torch.testing.assert_close(losses.total, torch.stack(list(losses.terms.values())).sum())
    tacotron.at_update(10)
    torch.manual_seed(3)
    torch.testing.assert_close(
        tacotron(batch()).penalties["kl"], 2 * output.penalties["kl"], rtol=1e-6, atol=0
    )


@each_model
def test_generate_takes_the_mean_of_training_by_default_and_never_zeros(model):
    tacotron = build(model, style=STYLE).train()
    for _ in range(3):
        tacotron(batch())
    tacotron.eval()
    tokens, lengths = batch().tokens, batch().token_lengths

    def say(latent: Latent | None) -> Tensor:
        return tacotron.generate(tokens, lengths, seed=1, max_steps=6, latent=latent).mel_after

    style = tacotron.style
    default = say(None)
    assert torch.equal(default, say(style.by_hand(style.mean_code.expand(3, -1))))
    zero = style.by_hand(torch.zeros(3, 3))
    assert not torch.equal(default, say(zero._replace(vector=torch.zeros_like(zero.vector))))
    moved = style.by_hand(style.mean_code + torch.tensor([[3.0, 0, 0], [0, 0, 0], [0, 0, 0]]))
    changed = (say(moved) - default).abs().amax((1, 2))
    assert changed[0] > 1e-6
    torch.testing.assert_close(changed[1:], torch.zeros(2).double(), rtol=0, atol=1e-10)


def test_styles_and_speakers_that_a_model_lacks_are_refused():
    tokens, lengths = batch().tokens, batch().token_lengths
    styled = build("tacotron2", style=STYLE)
    latent = styled.style.default(3)
    with pytest.raises(ConfigError, match="no style"):
        build("tacotron2").generate(tokens, lengths, latent=latent)
    with pytest.raises(ConfigError, match="one style a text"):
        styled.generate(tokens, lengths, latent=styled.style.default(2))
    with pytest.raises(ConfigError, match="one voice"):
        styled.generate(tokens, lengths, speaker=torch.tensor([0, 0, 0]))
    several = build("tacotron2", speakers=speakers(NAMES))
    with pytest.raises(ConfigError, match="anna"):
        several.generate(tokens, lengths)
    for wrong in (-1, 3):
        with pytest.raises(DataError, match="0 to 2"):
            several.generate(tokens, lengths, speaker=torch.tensor([0, wrong, 0]))
    with pytest.raises(ConfigError, match="boris"):
        speakers(NAMES).index("bori")
    for names in (("a", "a"), ("a", ""), ()):
        with pytest.raises(ConfigError):
            speakers(names)


def test_a_reference_without_lengths_is_refused():
    with pytest.raises(ConfigError, match="without the other"):
        batch(reference=torch.zeros(3, 4, MELS))
    with pytest.raises(DataError):
        batch(reference=torch.zeros(3, 4, MELS), reference_lengths=torch.tensor([4, 5, 1]))


@each_model
@pytest.mark.parametrize("padding", [1e4, math.nan])
def test_padding_of_a_reference_is_never_read(model, padding):
    tacotron = build(model, style=STYLE)
    results = []
    for value, extra in ((0.0, 0), (padding, 8)):
        torch.manual_seed(4)
        given = batch()
        reference = torch.cat([given.mel, given.mel.new_zeros(3, extra, MELS)], 1)
        for row, length in enumerate(given.frame_lengths.tolist()):
            reference[row, length:] = value
        given = dataclasses.replace(
            given, reference=reference, reference_lengths=given.frame_lengths
        )
        losses = LOSS(tacotron(given), given)
        gradients = torch.autograd.grad(losses.total, list(tacotron.style.reference.parameters()))
        results.append((losses.total, *gradients))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-9)
