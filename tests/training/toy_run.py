"""A run small enough to be repeated many times: dropout, running statistics, shuffled batches."""

import dataclasses
import random
import sys
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from speechseq.audio.mel import AudioConfig
from speechseq.config import Config
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import InverseSquareRootConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyConfig(Config):
    kind: ClassVar[str] = "toy"
    hidden: int = 8
    dropout: float = 0.3
    norm: bool = True

    def build(self) -> "Toy":
        return Toy(self)


class Toy(nn.Module):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, config.hidden),
            nn.BatchNorm1d(config.hidden) if config.norm else nn.Identity(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 1),
        )

    def forward(self, batch: "ToyBatch") -> Tensor:
        return self.layers(batch.x)[:, 0]


@dataclasses.dataclass(frozen=True)
class ToyBatch:
    x: Tensor
    y: Tensor
    ids: tuple[str, ...] = ()

    @property
    def weight(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> "ToyBatch":
        return dataclasses.replace(self, x=self.x.to(device), y=self.y.to(device))


@dataclasses.dataclass(frozen=True)
class ToyLosses:
    total: Tensor
    terms: dict[str, Tensor]


def toy_loss(output: Tensor, batch: ToyBatch, *, update: int) -> ToyLosses:
    square = (output - batch.y).square().mean()
    absolute = (output - batch.y).abs().mean()
    return ToyLosses(square + absolute, {"square": square, "absolute": absolute})


class ToyBatches:
    """Endless, of 3 to 6 items, in an order that the epoch decides; it counts what it hands out."""

    def __init__(self, count: int = 7, poison: frozenset[int] = frozenset()) -> None:
        generator = torch.Generator().manual_seed(1)
        self.items = []
        for i in range(count):
            x = torch.randn(3 + i % 4, 4, generator=generator)
            y = x.sum(1) if i not in poison else x.sum(1) * float("nan")
            self.items.append(ToyBatch(x, y, (f"item-{i}",)))
        self.epoch = self.position = 0

    def __next__(self) -> ToyBatch:
        order = random.Random(self.epoch).sample(self.items, len(self.items))
        batch = order[self.position]
        self.position += 1
        if self.position == len(self.items):
            self.epoch, self.position = self.epoch + 1, 0
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]


def toy_trainer(run: Path, *, model: ToyConfig | None = None, **settings: Any) -> Trainer:
    """A trainer of the toy; settings are the TrainerConfig's or the Trainer's."""
    about = ModelDescription(
        model=model or ToyConfig(),
        audio=AudioConfig(),
        vocabulary=Vocabulary.characters("abc "),
    )
    for_trainer = ("validate", "samples", "batches", "loss", "device")
    parts = {name: settings.pop(name) for name in for_trainer if name in settings}
    numbers = {
        "updates": 20,
        "checkpoint_every": 5,
        "log_every": 2,
        "learning_rate": 0.05,
        "schedule": InverseSquareRootConfig(warmup=4),
        "tensorboard": False,
        "keep": 100,
    }
    torch.manual_seed(3)
    return Trainer(
        about.model.build(),  # type: ignore[attr-defined]
        parts.pop("loss", toy_loss),
        parts.pop("batches", None) or ToyBatches(),
        TrainerConfig(**(numbers | settings)),
        run=run,
        about=about,
        **parts,
    )


if __name__ == "__main__":  # a process of its own, which a test can kill
    torch.set_num_threads(1)
    toy_trainer(Path(sys.argv[1]), updates=int(sys.argv[2]), checkpoint_every=1, keep=3).run()
