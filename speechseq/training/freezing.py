"""Frozen parts of a model: neither their weights nor their running statistics change."""

from collections.abc import Iterable

from torch import nn

from speechseq.config import nearest
from speechseq.errors import ConfigError


def freeze(model: nn.Module, parts: Iterable[str]) -> None:
    """Freeze parts of a model: their parameters get no gradients and are not trained.

    Args:
        parts: names of modules, such as "encoder" or "decoder.core.attention".

    Raises:
        ConfigError: the model has no such part, or nothing would be left to train.
    """
    modules = dict(model.named_modules())
    for name in parts:
        if name not in modules or not name:
            names = [known for known in modules if known and known.count(".") <= name.count(".")]
            raise ConfigError(f"freeze: no part {name[:80]!r}", nearest(name, names))
        modules[name].requires_grad_(False)
    if parts and not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(
            "freeze: nothing is left to train", "freeze fewer parts: --freeze encoder"
        )


def hold_statistics(model: nn.Module, parts: Iterable[str]) -> None:
    """Put the normalisation layers of frozen parts in evaluation mode.

    Their running statistics then stay as they are. Call it after each `model.train()`.

    Args:
        model: the model.
        parts: names of modules, as for `freeze`.
    """
    for name in parts:
        for module in model.get_submodule(name).modules():
            if "running_mean" in dict(module.named_buffers(recurse=False)):
                module.eval()


def frozen_line(model: nn.Module, parts: Iterable[str]) -> str:
    """Return a line for the log that names the frozen parts and counts their parameters."""
    numbers = [parameter.numel() for parameter in model.parameters()]
    held = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return f"frozen: {', '.join(parts)}, {held:,} of {sum(numbers):,} parameters"
