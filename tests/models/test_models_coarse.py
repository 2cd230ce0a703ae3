"""Double decoder consistency: a coarse decoder in training, of which inference knows nothing."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_tacotron import BINS, MELS, SYMBOLS, TINY, tiny_batch, tiny_model, without_dropout

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.errors import ConfigError
from speechseq.models.backends import frame_decoder_cpp
from speechseq.models.consistency import CoarseDecoderConfig
from speechseq.models.gradual import GradualReductionConfig
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.warm_start import warm_start

COARSE = CoarseDecoderConfig(reduction_factor=6)


def pair(name: str) -> tuple[Tacotron, Tacotron]:
    """The same weights with a coarse decoder and without one."""
    config = without_dropout(TINY[name](reduction_factor=2))
    decoder = dataclasses.replace(config.decoder, coarse=COARSE)
    both = tiny_model(dataclasses.replace(config, decoder=decoder))
    plain = tiny_model(config)
    ours = {n: x for n, x in both.state_dict().items() if not n.startswith("decoder.coarse.")}
    plain.load_state_dict(ours)
    return both, plain


@pytest.mark.parametrize("name", TINY)
def test_training_adds_two_terms_and_leaves_all_others(name: str) -> None:
    both, plain = (model.train() for model in pair(name))
    batch, loss = (
        tiny_batch(fill=float("nan"), extra=3),
        TacotronLoss(TacotronLossConfig(guide=1.0)),
    )
    ours, theirs = (loss(model(batch), batch) for model in (both, plain))
    assert set(ours.terms) - set(theirs.terms) == {"coarse", "consistency"}
    for term, value in theirs.terms.items():
        assert torch.equal(ours.terms[term], value), term
    more = ours.terms["coarse"] + ours.terms["consistency"]
    torch.testing.assert_close(ours.total, theirs.total + more)
    both.zero_grad()
    ours.terms["consistency"].backward()
    for part in (both.decoder.core, both.decoder.coarse.core):  # gradients to both alignments
        grads = [p.grad for p in part.attention.parameters() if p.grad is not None]
        assert grads
        assert all(g.isfinite().all() for g in grads)
        assert any(g.abs().max() > 0 for g in grads)


def test_the_coarse_decoder_covers_three_steps_each_and_its_mels_are_log_mels() -> None:
    config = dataclasses.replace(
        TINY["tacotron2"](reduction_factor=2, coarse=COARSE), mel_mean=-5.0, mel_scale=2.0
    )
    model, batch = tiny_model(config).train(), tiny_batch((3, 4), (8, 13))
    torch.nn.init.zeros_(model.decoder.coarse.frames.weight)
    torch.nn.init.zeros_(model.decoder.coarse.frames.bias)
    coarse = model(batch).coarse
    assert coarse.step_lengths.tolist() == [2, 3]
    assert coarse.ratio == 3
    assert coarse.alignment.shape == (2, 3, 4)
    assert (coarse.mel[0, :8] == -5.0).all()


@pytest.mark.parametrize("name", TINY)
def test_inference_knows_nothing_of_it(name: str) -> None:
    both, plain = (model.eval() for model in pair(name))
    batch = tiny_batch()
    assert both(batch).coarse is None
    assert torch.equal(both(batch).mel_after, plain(batch).mel_after)
    assert frame_decoder_cpp.supported(both.decoder) == frame_decoder_cpp.supported(plain.decoder)
    tokens, lengths = torch.tensor([[2, 3, 4, 1], [5, 2, 1, 0]]), torch.tensor([4, 3])
    for precision in ("float32", "int8"):
        ours, theirs = (
            model.generate(tokens, lengths, seed=1, max_steps=9, precision=precision)
            for model in (both, plain)
        )
        assert torch.equal(ours.mel_after, theirs.mel_after)


@pytest.mark.parametrize("forward", [True, False])
def test_a_warm_start_takes_or_leaves_the_coarse_decoder(forward: bool, tmp_path: Path) -> None:
    pairs = pair("tacotron2")
    new, old = pairs if forward else pairs[::-1]
    audio, vocabulary = AudioConfig(mels=MELS), Vocabulary.characters("abcd")
    checkpoint.save(
        tmp_path / "old",
        model=old.config,
        audio=audio,
        vocabulary=vocabulary,
        weights=old.state_dict(),
        update=1,
    )
    warm = warm_start(new, vocabulary, tmp_path / "old", audio)
    assert (warm.new_parts if forward else warm.missing_parts) == ("decoder.coarse",)


def test_an_older_checkpoint_has_no_coarse_decoder() -> None:
    data = TINY["tacotron2"]().to_dict()
    for field in ("coarse", "gradual", "sampling"):
        del data["decoder"][field]
    config = TacotronConfig.from_dict(data)
    assert config == TINY["tacotron2"]()
    model = config.build(symbols=SYMBOLS, mels=MELS, bins=BINS)
    assert not [name for name in model.state_dict() if "coarse" in name]


@pytest.mark.parametrize(
    "numbers", [{"reduction_factor": 4}, {"gradual": GradualReductionConfig(steps=((0, 4),))}]
)
def test_a_coarse_step_that_covers_no_whole_steps_is_refused(numbers: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"coarse.reduction_factor: 6 is no multiple of 4"):
        TINY["tacotron2"](coarse=COARSE, **numbers)
