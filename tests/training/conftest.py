import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here cuts the power; processes that are killed leave the kernel's pages alone."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(autouse=True)
def _same_random_state_afterwards() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    torch.set_rng_state(before)
