"""Import of torchaudio's Tacotron 2 checkpoints."""

import re
from collections.abc import Mapping

from torch import Tensor

from speechseq.errors import CheckpointError

# torchaudio's name (a pattern) to this toolkit's, which names one-way LSTMs by direction too
_RENAMES = (
    (r"embedding\.weight", "encoder.embedding.weight"),
    (r"encoder\.convolutions\.(\d+)\.0\.(\w+)", r"encoder.convs.\1.conv.\2"),
    (r"encoder\.convolutions\.(\d+)\.1\.(\w+)", r"encoder.convs.\1.norm.\2"),
    (r"encoder\.lstm\.(\w+)_l0_reverse", r"encoder.lstm.back.\1_l0"),
    (r"encoder\.lstm\.(\w+)_l0", r"encoder.lstm.ahead.\1_l0"),
    (r"decoder\.prenet\.layers\.(\d+)\.weight", r"decoder.prenet.layers.\1.weight"),
    (r"decoder\.attention_rnn\.(\w+)", r"decoder.core.cell.\1"),
    (r"decoder\.attention_layer\.query_layer\.weight", "decoder.core.attention.query.weight"),
    (r"decoder\.attention_layer\.memory_layer\.weight", "decoder.core.attention.key.weight"),
    (r"decoder\.attention_layer\.v\.weight", "decoder.core.attention.energy.weight"),
    (
        r"decoder\.attention_layer\.location_layer\.location_conv\.weight",
        "decoder.core.attention.filters.weight",
    ),
    (
        r"decoder\.attention_layer\.location_layer\.location_dense\.weight",
        "decoder.core.attention.location.weight",
    ),
    (r"decoder\.decoder_rnn\.(\w+)", r"decoder.stack.layers.0.\1"),
    (r"decoder\.linear_projection\.(\w+)", r"decoder.frames.\1"),
    (r"decoder\.gate_layer\.(\w+)", r"decoder.stop.\1"),
    (r"postnet\.convolutions\.(\d+)\.0\.(\w+)", r"postnet.net.convs.\1.conv.\2"),
    (r"postnet\.convolutions\.(\d+)\.1\.(\w+)", r"postnet.net.convs.\1.norm.\2"),
)


def tacotron2_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights of torchaudio's Tacotron2 to a state dict of `tacotron2().build(...)`.

    Tensors are renamed. Only models with one frame per step are supported: with more, torchaudio
    feeds all frames of a step to the pre-net, whereas the paper and this package feed the last one.

    Args:
        weights: state dict of `torchaudio.models.Tacotron2`.

    Returns:
        State dict of this package's model.

    Raises:
        CheckpointError: a name does not occur in torchaudio's model.
    """
    return {_renamed(name): value for name, value in weights.items()}


def _renamed(name: str) -> str:
    for theirs, ours in _RENAMES:
        if re.fullmatch(theirs, name):
            return re.sub(theirs, ours, name)
    raise CheckpointError(
        f"{name}: no such weight in torchaudio's Tacotron2",
        "pass the state_dict of torchaudio.models.Tacotron2, without a prefix",
    )
