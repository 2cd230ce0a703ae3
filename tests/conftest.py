"""Every shape annotation of the package is executed while the tests run."""

import importlib.util

from jaxtyping import install_import_hook

install_import_hook("speechseq", "beartype.beartype")

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from tiny_voice import AUDIO, VOCABULARY, save_voice, tiny_model  # noqa: E402

from speechseq.inference.synthesizer import Synthesizer, VocoderConfig  # noqa: E402
from speechseq.models.tacotron import Tacotron  # noqa: E402

# Triton comes with torch for Linux alone
OF_TRITON = ["models/test_models_frame_decoder_triton.py", "nn/test_nn_attention_rnn_triton.py"]
collect_ignore = [] if importlib.util.find_spec("triton") else OF_TRITON


@pytest.fixture(autouse=True)
def _seeded_and_single_threaded() -> None:
    """Every test starts from the same random state; two workers share two cores."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def model() -> Tacotron:
    return tiny_model()


@pytest.fixture
def synthesizer(model: Tacotron) -> Synthesizer:
    """A small untrained voice to speak with."""
    return Synthesizer(model, VOCABULARY, AUDIO, VocoderConfig(iterations=4), batch_size=2)


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    return save_voice(tmp_path / "voice")
