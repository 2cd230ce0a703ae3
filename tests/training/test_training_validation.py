"""The held-out loss is the corpus's, whatever the batches; no term hides."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speechseq.training.validation import held_out_loss


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A batch of numbers whose loss is their mean."""

    values: Tensor

    @property
    def weight(self) -> int:
        return len(self.values)

    def to(self, device: torch.device | str) -> "Numbers":
        return Numbers(self.values.to(device))


@dataclasses.dataclass(frozen=True)
class Means:
    total: Tensor
    terms: dict[str, Tensor]


def mean_loss(output: Tensor, batch: Any, *, update: int) -> Means:
    assert update == 0, "what fades must not make two validations incomparable"
    return Means(output.mean(), {"half": output.mean() / 2})


class Echo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, batch: Numbers) -> Tensor:
        return batch.values * self.scale


@pytest.mark.parametrize("cuts", [[6], [1, 5], [2, 2, 2], [5, 1]])
def test_the_figure_does_not_depend_on_how_utterances_were_batched(cuts: list[int]) -> None:
    values = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 50.0])
    validate = held_out_loss(mean_loss, lambda: [Numbers(part) for part in values.split(cuts)])
    assert validate(Echo()) == pytest.approx({"loss": 10.0, "half": 5.0})
    assert validate(Echo()) == pytest.approx({"loss": 10.0, "half": 5.0})  # and may be asked again
