"""Statistics of codes: known codes give known numbers, and a dead style is named in training."""

import dataclasses
import math
import warnings

import pytest
import torch
from styled_voice import STYLES
from tiny_voice import AUDIO, MODEL, VOCABULARY
from torch.distributions import Independent, Normal

from speechseq.batch import TTSBatch
from speechseq.errors import DataError
from speechseq.models.style.latent import Latent
from speechseq.models.style.statistics import statistics
from speechseq.models.tacotron import Tacotron
from speechseq.training.style_watch import style_watch


def build(name: str) -> Tacotron:
    torch.manual_seed(0)
    config = dataclasses.replace(MODEL, style=STYLES[name])
    return config.build(symbols=len(VOCABULARY), mels=AUDIO.mels).eval()


def batch() -> TTSBatch:
    torch.manual_seed(1)
    return TTSBatch(
        tokens=torch.ones(6, 3, dtype=torch.int64),
        token_lengths=torch.full((6,), 3),
        mel=3 * torch.randn(6, 40, AUDIO.mels),
        frame_lengths=torch.tensor([40, 30, 20, 10, 25, 35]),
    )


def test_units_that_do_not_vary_are_not_active():
    style, code = build("vae").style, torch.zeros(50, 3)
    code[:, 1] = torch.randn(50)
    sd = torch.full_like(code, 1.0)
    sd[:, 1] = 1e-4
    latent = Latent(code, style.bank(code), Independent(Normal(code, sd), 1))
    found = statistics(style, [latent, latent])
    assert found["active_units"] == pytest.approx(1 / 3)
    each = 0.5 * (code[:, 1].square() + 1e-8 - 1) - math.log(1e-4)
    assert found["kl"] == pytest.approx(float(each.mean()), rel=1e-4)
    assert found["mutual_information"] == pytest.approx(math.log(50), rel=0.05)


def test_entropy_of_tokens_is_that_of_their_mean_weights():
    style = build("gst").style
    code = torch.eye(4).repeat(5, 1).unsqueeze(1).expand(20, 2, 4)
    found = statistics(style, [Latent(code, style.bank(code), None)])
    assert found["token_entropy"] == pytest.approx(math.log(4))
    alone = torch.zeros(20, 2, 4)
    alone[..., 2] = 1
    found = statistics(style, [Latent(alone, style.bank(alone), None)])
    assert found["token_entropy"] == pytest.approx(0.0, abs=1e-6)
    assert found["active_units"] == 0
    assert "kl" not in found


def test_one_reference_is_refused():
    style = build("vae").style
    with pytest.raises(DataError, match="2 references"):
        statistics(style, [style.default(1)])


@pytest.mark.parametrize("name", ["vae", "gst"])
def test_a_dead_style_is_named_and_a_living_one_is_not(name):
    model = build(name)
    watch = style_watch(lambda: [batch(), batch()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name == "vae":
            with torch.no_grad():
                model.style.posterior.linear.weight.mul_(50)
            assert watch(model)["style_active_units"] > 0
    with torch.no_grad():
        for parameter in model.style.reference.gru.parameters():
            parameter.zero_()
    with pytest.warns(UserWarning, match="style is dead"):
        found = watch(model)
    assert found["style_active_units"] == 0
