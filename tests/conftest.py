"""Every shape annotation of the package is executed while the tests run."""

import importlib.util

from jaxtyping import install_import_hook

install_import_hook("speechseq", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

# Triton comes with torch for Linux alone
OF_TRITON = ["models/test_models_fused.py", "nn/test_nn_launched_loop.py"]
collect_ignore = [] if importlib.util.find_spec("triton") else OF_TRITON


@pytest.fixture(autouse=True)
def _seeded_and_single_threaded() -> None:
    """Every test starts from the same random state; two workers share two cores."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
