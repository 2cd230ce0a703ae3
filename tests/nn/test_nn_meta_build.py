import subprocess
import sys

import pytest
import torch
from torch import nn

from speechseq.errors import ConfigError
from speechseq.models.encoders import ConvEncoderConfig
from speechseq.models.language_model import LanguageModelConfig
from speechseq.models.las import LASConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.postnets import ConvPostnetConfig
from speechseq.models.tacotron import TacotronConfig
from speechseq.nn.meta_build import built

LARGE = [
    lambda: TacotronConfig(encoder=ConvEncoderConfig(channels=65_536)).build(symbols=30, mels=80),
    lambda: TacotronConfig(postnet=ConvPostnetConfig(layers=256, channels=8192)).build(30, 80),
    lambda: LASConfig(listener=ListenerConfig(base_layers=256, hidden=4096)).build(30, 80),
    lambda: LanguageModelConfig(hidden=65_536, layers=256).build(30),
    lambda: LanguageModelConfig().build(10**15),
    lambda: built(lambda: nn.ModuleList(map(nn.Linear, [2] * 30_000, [2] * 30_000))),
]


@pytest.mark.parametrize("build", LARGE)
def test_what_would_fill_the_memory_is_refused_before_it_does(build) -> None:
    with pytest.raises(ConfigError, match="model: ") as caught:
        build()
    assert caught.value.cure


def test_a_look_at_the_size_draws_nothing() -> None:
    torch.manual_seed(3)
    seen = LanguageModelConfig(embedding=4, hidden=4).build(9)
    torch.manual_seed(3)
    unseen = type(seen)(9, seen.config)
    for name, weight in unseen.state_dict().items():
        assert torch.equal(seen.state_dict()[name], weight)


BUILDS = """
import sys
from speechseq.models.language_model import LanguageModelConfig
from speechseq.models.las import las_small
from speechseq.models.tacotron import tacotron1, tacotron2
tacotron1().build(9, 80, 1025), tacotron2().build(9, 80)
las_small().build(9, 80), LanguageModelConfig().build(9)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


def test_a_look_at_the_size_imports_no_compiler() -> None:
    """120 MB and a second of every command's start."""
    done = subprocess.run([sys.executable, "-c", BUILDS], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
