"""Statistics of a style while a Tacotron trains, for the argument `validate` of a Trainer."""

import warnings
from collections.abc import Callable, Iterable

import torch
from torch import nn

from speechseq.batch import TTSBatch
from speechseq.models import conditioning
from speechseq.models.style.statistics import statistics
from speechseq.models.tacotron import Tacotron


def style_watch(
    batches: Callable[[], Iterable[TTSBatch]],
) -> Callable[[nn.Module], dict[str, float]]:
    """Make a function, for `validate` of a Trainer, that measures the codes of a Tacotron's style.

    It takes the model and returns the values of `models.style.statistics`, with "style_" in front
    of each name. It warns if no unit is active: all references then have the same code, and the
    style has no effect.

    Args:
        batches: function called at each validation, which returns a few held-out batches, such as
            two.
    """

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Tacotron)
        style, device = conditioning.own_style(model.style), next(model.parameters()).device
        latents = [
            style.encode(model.inward(batch.mel.to(device)), batch.frame_lengths.to(device))
            for batch in batches()
        ]
        found = statistics(style, latents)
        if not found["active_units"]:
            warnings.warn(
                "the style is dead: every reference has the same code; lower the penalty's weight, "
                "or anneal it longer",
                stacklevel=2,
            )
        return {f"style_{name}": value for name, value in found.items()}

    return validate
