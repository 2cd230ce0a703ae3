"""Training across reduction factors: optimizer and mean weights follow a model that changes r."""

import dataclasses
from typing import Any

import torch
from torch import nn

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.reduction import HEAD, fit_reduction
from speechseq.models.tacotron import Tacotron, TacotronConfig
from speechseq.training.ema import EMA

_LARGEST_R = 10
_MOMENTS = ("exp_avg", "exp_avg_sq")


def follow_schedule(
    model: nn.Module, update: int, optimizer: torch.optim.Optimizer, ema: EMA | None
) -> None:
    """Set the reduction factor of a Tacotron as its schedule (`gradual`) has it for an update.

    If the factor changes, the output layer is resized to the new number of frames per step, in
    place, and so are the optimizer's moments and the moving average of its weights. A model without
    a schedule is left unchanged.

    Args:
        model: model in training.
        update: number of the update.
        optimizer: its optimizer.
        ema: moving average of its weights, or None.
    """
    if isinstance(model, Tacotron) and (gradual := model.config.decoder.gradual) is not None:
        _set_reduction_factor(model, gradual.at(update), optimizer, ema)


def raise_reduction_factor(
    model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None
) -> int | None:
    """Double the reduction factor (frames per decoder step) of a Tacotron in training; return it.

    With half as many steps, an utterance is easier to align. The weights of the output layer, the
    optimizer's moments and the moving average get rows of the new number of frames.

    Args:
        model: model in training.
        optimizer: its optimizer.
        ema: moving average of its weights, or None.

    Returns:
        The new factor. None, and nothing is changed, if the model is no Tacotron, has a schedule of
        its factor, has a coarse decoder whose steps would not cover whole steps, or if a step
        would make more than 10 frames.
    """
    if not isinstance(model, Tacotron) or model.config.decoder.gradual is not None:
        return None
    r = 2 * model.config.decoder.reduction_factor
    coarse = model.config.decoder.coarse
    if r > _LARGEST_R or (coarse is not None and coarse.reduction_factor % r):
        return None
    _set_reduction_factor(model, r, optimizer, ema)
    return r


def current_config(config: Config, model: nn.Module) -> Config:
    """Return a model's settings with the reduction factor that it has now, for a checkpoint.

    Args:
        config: settings that the model was built from.
        model: the model, whose reduction factor may have changed in training.
    """
    if not (isinstance(config, TacotronConfig) and isinstance(model, Tacotron)):
        return config
    return _with_factor(config, model.config.decoder.reduction_factor)


def follow_checkpoint(
    found: Any,
    config: Config,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: EMA | None,
    *,
    raised: bool = False,
) -> Any:
    """Give a model whose reduction factor changes in training that of a checkpoint.

    Args:
        found: plain data of the checkpoint's model settings.
        config: settings of this run's model.
        raised: True if the run may have raised its factor (`TrainerConfig.on_collapse`).

    Returns:
        `found` with the reduction factor of `config`, since that of a checkpoint depends on its
        update; `found` itself if the factor cannot change.
    """
    if not (isinstance(config, TacotronConfig) and isinstance(model, Tacotron)):
        return found
    if config.decoder.gradual is None and not raised:
        return found
    try:
        stored = TacotronConfig.from_dict(found)
    except ConfigError:  # of another kind: the caller compares it
        return found
    _set_reduction_factor(model, stored.decoder.reduction_factor, optimizer, ema)
    return _with_factor(stored, config.decoder.reduction_factor).to_dict()


def _with_factor(config: TacotronConfig, r: int) -> TacotronConfig:
    decoder = dataclasses.replace(config.decoder, reduction_factor=r)
    return dataclasses.replace(config, decoder=decoder)


def _set_reduction_factor(
    model: Tacotron, r: int, optimizer: torch.optim.Optimizer, ema: EMA | None
) -> None:
    before, mels = model.config.decoder.reduction_factor, model.decoder.mels
    if r == before:
        return
    model.decoder.set_reduction_factor(r)
    model.config = dataclasses.replace(model.config, decoder=model.decoder.config)
    states = {name: optimizer.state.get(model.get_parameter(name), {}) for name in HEAD}
    for moment in _MOMENTS:
        values = {name: state[moment] for name, state in states.items() if moment in state}
        for name, value in fit_reduction(values, before, r, mels).items():
            states[name][moment] = value
    if ema is not None:
        ema.mean |= fit_reduction(ema.mean, before, r, mels)
