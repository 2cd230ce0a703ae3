"""Speakers of a model with several voices: a learned vector for each name."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.config import Config, nearest
from speechseq.errors import ConfigError, DataError
from speechseq.ranges import Items, Text, Width

Sites = Literal["memory", "all"]
Speaker = Integer[Tensor, " batch"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeakersConfig(Config):
    """Settings of a model with several speakers, each of whom has a learned vector.

    Attributes:
        names: name of each speaker, in the order of their ids.
        dim: width of a speaker's vector.
        sites: places of the model where the vector enters. "memory": it is joined to the encoder's
            output. "all": a projection of it is also added to every symbol's embedding, so that the
            encoding may depend on the speaker's accent (Deep Voice 2, Arik 2017).
    """

    names: Annotated[tuple[Annotated[str, Text(200)], ...], Items(1, 100_000)] = ("speaker",)
    dim: Width = 64
    sites: Sites = "memory"

    def check(self) -> None:
        """Raise ConfigError for names that are empty or given twice."""
        if len(set(self.names)) < len(self.names) or not all(map(str.strip, self.names)):
            raise ConfigError("names: a speaker is named twice, or not at all", "name each once")

    def build(self, embedding_dim: int) -> "Speakers":
        """Build the table; `embedding_dim` is the width of a symbol's embedding in the encoder."""
        return Speakers(embedding_dim, self)

    def index(self, name: str) -> int:
        """Return the id of the speaker called `name`, from 0.

        Raises:
            ConfigError: the model has no speaker of this name; the message gives the nearest name.
        """
        if name not in self.names:
            raise ConfigError(f"speaker: unknown {name[:80]!r}", nearest(name, self.names))
        return self.names.index(name)


def speakers(names: Iterable[str], *, dim: int = 64, sites: Sites = "memory") -> SpeakersConfig:
    """Return a `SpeakersConfig` with these names.

    Args:
        names: names of the speakers, in the order of their ids.
        dim: width of a speaker's vector.
        sites: places where the vector enters the model: "memory" for the encoder's output, "all"
            for its input too.
    """
    return SpeakersConfig(names=tuple(names), dim=dim, sites=sites)


class Speakers(nn.Module):
    """Table of the speakers' learned vectors, with their projection to the encoder's input.

    `SpeakersConfig(names=...).build(embedding_dim)` makes it. Calling it maps speaker ids (batch)
    to vectors (batch, dim), which a Tacotron joins to the memory; `shift` maps the vectors to what
    is added to the symbols' embeddings.

    Args:
        embedding_dim: width of a symbol's embedding in the encoder.
        config: names, width and use of the vectors.
    """

    speaker_rows = ("table.weight",)

    def __init__(self, embedding_dim: int, config: SpeakersConfig) -> None:
        super().__init__()
        self.config = config
        self.table = nn.Embedding(len(config.names), config.dim)
        nn.init.normal_(self.table.weight, std=0.3)
        everywhere = config.sites == "all"
        self.input = nn.Linear(config.dim, embedding_dim) if everywhere else None

    def forward(self, speaker: Speaker) -> Float[Tensor, "batch dim"]:
        """Map ids `speaker` (batch) to vectors (batch, dim).

        Raises:
            DataError: an id that is no integer, below 0 or beyond the last speaker.
        """
        most = len(self.config.names) - 1
        wrong = (speaker < 0) | (speaker > most)
        if speaker.is_floating_point() or bool(wrong.any()):
            problem = f"speaker: an id outside of 0 to {most}"
            raise DataError(problem, "take ids from SpeakersConfig.index")
        return self.table(speaker.long())

    def shift(self, vector: Float[Tensor, "batch dim"]) -> Tensor | None:
        """Project speakers' vectors, `vector` (batch, dim), to the width of a symbol's embedding.

        The result (batch, embedding_dim) is added to the embeddings of a row's symbols. It is None
        if speakers join the memory only.
        """
        return None if self.input is None else F.softsign(self.input(vector))


def ids_of(config: SpeakersConfig | None, names: Iterable[str]) -> Tensor | None:
    """Return the ids of speakers, given by name.

    Args:
        config: the model's speakers; None for a model of one voice.
        names: a name for each text.

    Returns:
        Ids (batch), or None for a model of one voice.

    Raises:
        ConfigError: an unknown speaker.
    """
    return None if config is None else torch.tensor([config.index(name) for name in names])
