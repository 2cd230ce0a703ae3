"""Conditions of a Tacotron in addition to its text: style and speaker of each utterance."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechseq.batch import TTSBatch
from speechseq.errors import ConfigError
from speechseq.models.encoders import Encoder
from speechseq.models.speakers import Speaker, Speakers, SpeakersConfig
from speechseq.models.style.join import Join, MemoryJoin
from speechseq.models.style.latent import Latent
from speechseq.models.style.style import Style
from speechseq.nn.masks import length_mask
from speechseq.shapes import Encoded, Lengths, Tokens


def build_join(
    memory_dim: int, style: Style | None, speakers: Speakers | None, how: Join
) -> MemoryJoin | None:
    """Build the module that joins style and speaker to the memory; None without both of them.

    Args:
        memory_dim: width of the encoder's output.
        style, speakers: modules whose vectors are joined, or None.
        how: "add" adds a projection of the vector to each position, "concat" appends the vector.
    """
    width = 0 if style is None else style.style_dim
    width += 0 if speakers is None else speakers.config.dim
    return MemoryJoin(memory_dim, width, how) if width else None


def build_speakers(config: SpeakersConfig | None, encoder: Encoder) -> Speakers | None:
    """Build the table of the speakers' learned vectors; None for a model of one voice.

    Args:
        config: names of the speakers and width of the vectors; None for one voice.
        encoder: text encoder, to whose embeddings the vectors may be added.
    """
    return None if config is None else config.build(encoder.embedding_dim)


def own_style(style: Style | None) -> Style:
    """Return `style`, the style module of a model, which must not be None.

    Raises:
        ConfigError: the model has none.
    """
    if style is None:
        raise ConfigError("the model has no style", "use a checkpoint of a model with a style")
    return style


def batch_latent(
    style: Style | None, batch: TTSBatch, inward: Callable[[Tensor], Tensor]
) -> Latent | None:
    """Infer the style of each utterance of a batch from its reference mel.

    An utterance without a reference is its own: its target mel is used.

    Args:
        style: the model's style module; None gives None.
        batch: batch with mels, and optionally references.
        inward: function that maps log-mels to the scale of the network (`Tacotron.inward`).

    Returns:
        Style vectors (batch, style_dim), with their codes and posterior.
    """
    if style is None:
        return None
    if batch.reference is None or batch.reference_lengths is None:
        return style.encode(inward(batch.mel), batch.frame_lengths)
    return style.encode(inward(batch.reference), batch.reference_lengths)


def penalties(style: Style | None, latent: Latent | None, update: int) -> dict[str, Tensor]:
    """Compute the penalty of a style, as weighted terms of the loss.

    Args:
        style: the model's style module, or None.
        latent: styles that were inferred for the batch, or None.
        update: number of the optimizer update, on which weights depend.

    Returns:
        Scalars by name; empty for a model without a style.
    """
    return {} if style is None or latent is None else style.penalty(latent, update=update)


def checked_latent(style: Style | None, latent: Latent | None, rows: int) -> Latent | None:
    """Check the styles of a batch, or return the default style of each text.

    Args:
        style: the model's style module, or None.
        latent: styles of the batch; None for the default style, the mean of training.
        rows: number of texts.

    Returns:
        Style vectors (rows, style_dim) with their codes; None for a model without a style.

    Raises:
        ConfigError: the latent has another shape, or the model has no style.
    """
    if latent is None:
        return None if style is None else style.default(rows)
    shape = (rows, own_style(style).style_dim)
    if tuple(latent.vector.shape) != shape:
        problem = f"latent: a vector of shape {tuple(latent.vector.shape)}, expected {shape}"
        raise ConfigError(problem, "give one style a text, made by this model's style")
    return latent


def speaker_vector(speakers: Speakers | None, speaker: Speaker | None, rows: int) -> Tensor | None:
    """Look up the vectors of the speakers of a batch.

    Args:
        speakers: table of the speakers' vectors; None for a model of one voice.
        speaker: ids (rows), or None.
        rows: number of texts.

    Returns:
        Vectors (rows, dim), or None for a model of one voice.

    Raises:
        ConfigError: a speaker is missing, or given to a model without speakers.
        DataError: an id is not in the table of speakers.
    """
    if speakers is None:
        if speaker is not None:
            raise ConfigError("speaker: the model has one voice", "leave the speaker out")
        return None
    if speaker is None:
        names = ", ".join(speakers.config.names[:20])
        raise ConfigError("speaker: the model has several and none is given", f"one of: {names}")
    if tuple(speaker.shape) != (rows,):
        problem = f"speaker: ids of shape {tuple(speaker.shape)}, expected ({rows},)"
        raise ConfigError(problem, "give one id an utterance")
    return speakers(speaker)


class Text(NamedTuple):
    """Texts of a batch with their conditions, the input of `encoded`.

    Attributes:
        tokens: (batch, tokens), token ids.
        lengths: (batch), number of valid tokens.
        latent: style of each text, or None.
        speaker: speaker ids (batch), or None.
    """

    tokens: Tokens
    lengths: Lengths
    latent: Latent | None
    speaker: Speaker | None

    def row(self, i: int) -> "Text":
        """Return text `i` as a batch of one, without padding."""
        one, length = slice(i, i + 1), int(self.lengths[i])
        return Text(
            self.tokens[one, :length],
            self.lengths[one],
            None if self.latent is None else self.latent.row(i),
            None if self.speaker is None else self.speaker[one],
        )


def encoded(
    encoder: Encoder, speakers: Speakers | None, join: MemoryJoin | None, text: Text
) -> Encoded:
    """Encode texts, and join style and speaker to every valid position of the memory.

    Args:
        encoder: text encoder.
        speakers: table of the speakers' vectors; None for one voice.
        join: module that joins the vectors of style and speaker; None without both.
        text: tokens, lengths, styles and speaker ids of a batch.

    Returns:
        Memory (batch, tokens, memory_dim) and its lengths.

    Raises:
        ConfigError: tokens or lengths are not integers (batch, tokens), (batch); a speaker is
            missing.
        DataError: a length exceeds the number of tokens, or a token or speaker is unknown.
    """
    tokens, lengths, latent, speaker = text
    vector = speaker_vector(speakers, speaker, len(tokens))
    shift = speakers.shift(vector) if speakers is not None and vector is not None else None
    shifted = () if shift is None else (shift,)  # an encoder of one's own may know no speakers
    memory, lengths = encoder(tokens, lengths, *shifted)
    vectors = [x for x in (None if latent is None else latent.vector, vector) if x is not None]
    if join is not None and vectors:
        mask = length_mask(lengths, memory.shape[1])
        memory = join(memory, mask, torch.cat(vectors, dim=1))
    return Encoded(memory, lengths)


def encoded_alone(encode: Callable[[Text], Encoded], text: Text) -> Encoded:
    """Encode a batch of texts, on a CPU each by itself, so that none depends on the others.

    In a batch, the sums of a convolution or a matrix product are made in another order, which
    changes an encoding by 1e-6, and free-running speech by as much as 1e-3 after some seconds. The
    steps of the decoder's kernel do not depend on the batch. Other devices encode the whole batch.

    Args:
        encode: function such as `Tacotron.encode`.
        text: tokens, lengths, styles and speaker ids of the batch.

    Returns:
        Memory (batch, tokens, memory_dim) and its lengths (batch).
    """
    if text.tokens.device.type != "cpu" or len(text.tokens) == 1:
        return encode(text)
    rows = [encode(text.row(i)) for i in range(len(text.tokens))]
    memory = pad_sequence([row.memory[0] for row in rows], batch_first=True)
    return Encoded(memory, torch.cat([row.memory_lengths for row in rows]))
