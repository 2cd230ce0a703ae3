"""Texts to speak, checked: their tokens, limits of steps and dropout masks of the pre-net."""

from collections.abc import Sequence as Series
from typing import NamedTuple

import torch

from speechseq.arguments import checked_lengths, checked_tokens
from speechseq.errors import ConfigError
from speechseq.models.conditioning import Text
from speechseq.models.frame_decoder import FrameDecoderConfig
from speechseq.models.speakers import Speaker
from speechseq.models.style.latent import Latent
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ranges import DrawSeed, Every, checked
from speechseq.shapes import Lengths, Tokens


class TextInputs(NamedTuple):
    """Checked tokens of a batch of texts, and what follows from texts and seeds for a free run.

    Attributes:
        tokens: (batch, tokens), checked token ids.
        token_lengths: (batch), number of valid tokens.
        limits: (batch), maximum number of steps.
        noise: dropout masks of the pre-net; None for no dropout.
    """

    tokens: Tokens
    token_lengths: Lengths
    limits: Lengths
    noise: UtteranceNoise | None

    def text(self, latent: Latent | None, speaker: Speaker | None) -> Text:
        """Return the texts with their conditions, the input of the encoder.

        Args:
            latent: style of each text; None for a model without a style.
            speaker: speaker ids (batch); None for a model of one voice.
        """
        return Text(self.tokens, self.token_lengths, latent, speaker)


def text_inputs(
    config: FrameDecoderConfig,
    tokens: Tokens,
    token_lengths: Lengths,
    seed: int | Series[int] | None,
    max_steps: int | None,
    length_scale: float,
) -> TextInputs:
    """Check the tokens of a batch, and prepare limits and dropout masks for them.

    Args:
        config: settings of the decoder.
        tokens, token_lengths: (batch, tokens) and (batch).
        seed: one seed of the dropout for all rows or one per row; None draws one.
        max_steps: upper bound of every row's steps; None for none.
        length_scale: factor of the duration, and so of the limits.

    Raises:
        ConfigError: the number of seeds is not that of the rows; max_steps is below 1; tokens or
            lengths are not integers (batch, tokens), (batch).
        DataError: a length is below 1 or beyond the tokens.
    """
    tokens = checked_tokens(tokens)
    shape, name = tokens.shape, "token_lengths"
    token_lengths = checked_lengths(token_lengths, shape, name, least=1, wait=True)
    limits = step_limits(config, token_lengths, max_steps, length_scale)
    return TextInputs(tokens, token_lengths, limits, utterance_noise(config, seed, tokens))


def step_limits(
    config: FrameDecoderConfig,
    token_lengths: Lengths,
    max_steps: int | None,
    length_scale: float = 1.0,
) -> Lengths:
    """Compute the maximum number of decoder steps of each text.

    It grows with the number of tokens, and is at most `max_steps`.

    Args:
        config: settings of the decoder, with frames_per_token, spare_frames and the reduction
            factor.
        token_lengths: (batch).
        max_steps: upper bound for every row; None for none.
        length_scale: factor of the duration, and so of the limits.

    Returns:
        Numbers of steps (batch).

    Raises:
        ConfigError: max_steps is below 1.
    """
    limits = config.step_limits(token_lengths)
    if length_scale != 1.0:
        limits = (limits * length_scale).ceil().long()
    return limits if max_steps is None else limits.clamp(max=checked("max_steps", max_steps, Every))


def utterance_noise(
    config: FrameDecoderConfig, seed: int | Series[int] | None, tokens: Tokens
) -> UtteranceNoise | None:
    """Build the dropout masks of the pre-net; None if synthesis runs without dropout.

    Args:
        config: settings of the decoder.
        seed: one seed for all rows or one per row; None draws one from torch's global generator.
        tokens: (batch, tokens), for the number of rows and the device.

    Raises:
        ConfigError: the number of seeds is not that of the rows, or a seed exceeds 64 bits.
    """
    if not config.free_running_dropout or not config.prenet_dropout:
        return None
    if seed is None:
        seed = int(torch.randint(2**31, ()))
    seeds = [seed] * len(tokens) if isinstance(seed, int) else list(seed)
    seeds = [checked("seed", one, DrawSeed) for one in seeds]
    if len(seeds) != len(tokens):
        raise ConfigError(
            f"seed: {len(seeds)} seeds for {len(tokens)} utterances",
            "give one, or one for each",
        )
    return UtteranceNoise(seeds, config.prenet, config.prenet_dropout, tokens.device)
