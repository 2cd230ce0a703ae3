"""Early check of a warm start: a checkpoint fits the settings of a model, before there is one."""

import dataclasses
import inspect
from pathlib import Path

from torch import nn

from speechseq.audio.mel import AudioConfig
from speechseq.checkpoint import Contents, read
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.tacotron import TacotronConfig
from speechseq.nn.meta_build import shapeless_build
from speechseq.training.fitting import Names
from speechseq.training.warm_start import check_settings, fitted_weights, speakers_of


def check_warm_start(checkpoint: Path | str, config: Config, audio: AudioConfig | None) -> None:
    """Check that a new model can begin from a checkpoint, before the corpus is read.

    See `warm_start`. No vocabulary is needed. If the settings lack a style or speakers, which a
    recipe may add later, those of the checkpoint are assumed.

    Args:
        checkpoint: a checkpoint or run folder.
        config: settings of the new model.
        audio: settings of its features; None for a model of text only.

    Raises:
        CheckpointError: see `warm_start`.
    """
    stored = read(checkpoint)
    check_settings(stored, config, audio)
    assumed = _with_parts_of(stored, config)
    vocabulary = stored.read_vocabulary()
    sizes = {"symbols": len(vocabulary)}
    if audio is not None:
        sizes |= {"mels": audio.mels, "bins": audio.bins, "features": audio.features}
    if (model := _skeleton(assumed, sizes)) is not None:
        names = Names(vocabulary, speakers_of(assumed.to_dict()))
        fitted_weights(stored, model, names, assumed, audio)


def _with_parts_of(stored: Contents, config: Config) -> Config:
    """Return the settings with style and speakers of the checkpoint where there are none."""
    if not isinstance(config, TacotronConfig):
        return config
    try:
        theirs = TacotronConfig.from_dict(stored.config["model"])
    except ConfigError:  # it has parts of one's own, unknown here
        return config
    return dataclasses.replace(
        config, style=config.style or theirs.style, speakers=config.speakers or theirs.speakers
    )


def _skeleton(config: Config, sizes: dict[str, int]) -> nn.Module | None:
    """Build a model without memory; None if its `build` needs other sizes than these."""
    build = getattr(config, "build", None)
    if build is None:
        return None
    parameters = inspect.signature(build).parameters.values()
    if any(p.default is p.empty and p.name not in sizes for p in parameters):
        return None
    models: list[nn.Module] = []
    chosen = {p.name: sizes[p.name] for p in parameters if p.name in sizes}

    def made() -> nn.Module:
        models.append(build(**chosen))
        return models[0]

    shapeless_build(made)
    return models[0]
