"""Log-mels of a batch of prepared texts, as a synthesiser's model makes them."""

from collections.abc import Sequence

import torch

from speechseq.inference import styling
from speechseq.inference.speech import Reading
from speechseq.inference.tries import Manner
from speechseq.inference.vocoding import check_finite
from speechseq.models.tacotron import Tacotron
from speechseq.models.tacotron_output import Generated


def generate_batch(
    model: Tacotron,
    readings: Sequence[Reading],
    pad: int,
    precision: str,
    seed: int,
    max_steps: int | None,
    manner: Manner,
) -> Generated:
    """Run a Tacotron on a batch of prepared texts, and check that its mels are finite.

    Args:
        model: a trained Tacotron in evaluation mode.
        readings: the texts as token ids, with their styles and speakers.
        pad: token id of the padding.
        precision: "float32", "bfloat16" or "int8" weights in the decoder's loop.
        seed: seed of the pre-net's dropout, the same for each text.
        max_steps: maximum number of decoder steps; None for the model's own limit.
        manner: window of the attention, used if `safe`, and factor of the duration.

    Returns:
        Log-mels, alignments and reasons for the end, with a row for each text.

    Raises:
        CheckpointError: the mels are not finite, as after a diverged training.
    """
    device = next(model.parameters()).device
    lengths = torch.tensor([len(reading.ids) for reading in readings], device=device)
    tokens = torch.full((len(readings), int(lengths.max())), pad)
    for row, reading in enumerate(readings):
        tokens[row, : len(reading.ids)] = torch.tensor(reading.ids)
    latent, speaker = styling.stacked(readings)
    output = model.generate(
        tokens.to(device),
        lengths,
        seed=[seed] * len(readings),
        max_steps=max_steps,
        precision=precision,
        latent=latent,
        speaker=speaker if speaker is None else speaker.to(device),
        window=manner.window if manner.safe else None,
        length_scale=manner.length_scale,
    )
    check_finite(output.mel_after, [reading.text for reading in readings])
    return output
