"""Tacotron and Tacotron 2: the model, and functions that build the papers' configurations."""

import dataclasses
from collections.abc import Sequence as Series
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from speechseq.audio.mel import AudioConfig
from speechseq.batch import TTSBatch
from speechseq.config import Config, choice
from speechseq.models import conditioning
from speechseq.models.conditioning import Text
from speechseq.models.decoder_stack import LSTMStackConfig
from speechseq.models.decoder_steps import Steering
from speechseq.models.encoders import CBHGEncoderConfig, ConvEncoderConfig, EncoderConfig
from speechseq.models.frame_decoder import FrameDecoder, FrameDecoderConfig
from speechseq.models.generation import free_run
from speechseq.models.postnets import ConvPostnetConfig, LinearPostnetConfig, OutputNetConfig
from speechseq.models.published_parts import (
    tacotron1_decoder,
    tacotron1_encoder,
    tacotron2_decoder,
)
from speechseq.models.speakers import Speaker, SpeakersConfig
from speechseq.models.style.join import Join
from speechseq.models.style.latent import Latent
from speechseq.models.style.style import StyleConfig
from speechseq.models.tacotron_output import Generated, TacotronOutput
from speechseq.models.text_inputs import text_inputs
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.eval_mode import evaluating
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.nn.meta_build import built
from speechseq.ranges import Finite, Range
from speechseq.shapes import Encoded, Lengths, Mel, Tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class TacotronConfig(Config):
    """Parts of a Tacotron, and the affine map between log-mels and the network's scale.

    Attributes:
        encoder: settings of the text encoder, whose output is the memory of the attention.
        decoder: settings of the decoder, which makes the frames.
        postnet: settings of the post-net, which refines them.
        mel_mean, mel_scale: the network works on (mel - mel_mean) / mel_scale; numbers that give
            mels near zero mean and unit variance make small models learn faster.
        style: settings of a style, a latent variable for how an utterance is spoken; None for none.
        speakers: settings of several speakers; None for one voice.
        join: "add" or "concat": how the vectors of style and speaker enter the memory.
    """

    kind: ClassVar[str] = "tacotron"
    encoder: EncoderConfig = choice(
        ConvEncoderConfig, CBHGEncoderConfig, default=ConvEncoderConfig()
    )
    decoder: FrameDecoderConfig = FrameDecoderConfig()
    postnet: OutputNetConfig = choice(
        ConvPostnetConfig, LinearPostnetConfig, default=ConvPostnetConfig()
    )
    mel_mean: Finite = 0.0
    mel_scale: Annotated[float, Range(1e-6, 1e9)] = 1.0
    style: StyleConfig | None = None
    speakers: SpeakersConfig | None = None
    join: Join = "add"

    def build(self, symbols: int, mels: int, bins: int | None = None) -> "Tacotron":
        """Build the model for a vocabulary of `symbols` entries and mels of `mels` bands.

        Args:
            symbols: number of entries of the vocabulary.
            mels: number of mel bands.
            bins: width of the linear spectrum, if the post-net predicts one: `bins` of the
                AudioConfig that the mels come from. None takes the 513 of `AudioConfig()`.

        Raises:
            ConfigError: it would have too many parameters (`nn.meta_build.MOST_PARAMETERS`).
        """
        bins = AudioConfig().bins if bins is None else bins
        return built(lambda: Tacotron(symbols, mels, bins, self))


def tacotron1(
    *,
    reduction_factor: int = 2,
    style: StyleConfig | None = None,
    speakers: SpeakersConfig | None = None,
    join: Join = "add",
) -> TacotronConfig:
    """Return Wang 2017's Tacotron (table 1) plus stop prediction.

    Args:
        reduction_factor: mel frames per decoder step.
        style, speakers, join: fields of `TacotronConfig`; None for no style, for one voice.

    Examples:
        >>> model = tacotron1(reduction_factor=5).build(symbols=40, mels=80)
    """
    return TacotronConfig(
        style=style,
        speakers=speakers,
        join=join,
        encoder=tacotron1_encoder(),
        decoder=tacotron1_decoder(reduction_factor),
        postnet=LinearPostnetConfig(bank=8, channels=128, projections=(256,), highways=4, gru=128),
    )


def tacotron2(
    *,
    reduction_factor: int = 1,
    dropout: float = 0.1,
    zoneout: float = 0.0,
    style: StyleConfig | None = None,
    speakers: SpeakersConfig | None = None,
    join: Join = "add",
) -> TacotronConfig:
    """Return Tacotron 2 (Shen 2018, §2.2) in the variant of NVIDIA and torchaudio.

    Args:
        reduction_factor: mel frames per decoder step.
        dropout, zoneout: rates of the decoder's RNNs; the paper has dropout=0.0, zoneout=0.1.
        style, speakers, join: fields of `TacotronConfig`.

    Examples:
        >>> model = tacotron2().build(symbols=40, mels=80)
    """
    return TacotronConfig(
        style=style,
        speakers=speakers,
        join=join,
        encoder=ConvEncoderConfig(
            embedding=512, layers=3, channels=512, kernel=5, dropout=0.5, lstm=256
        ),
        decoder=tacotron2_decoder(reduction_factor, dropout, zoneout),
        postnet=ConvPostnetConfig(layers=5, channels=512, kernel=5, dropout=0.5),
    )


def tacotron2_small(
    *,
    reduction_factor: int = 4,
    style: StyleConfig | None = None,
    speakers: SpeakersConfig | None = None,
    join: Join = "add",
) -> TacotronConfig:
    """Return a 2-million-parameter Tacotron 2 for a CPU: `reduction_factor` frames per step."""
    return TacotronConfig(
        style=style,
        speakers=speakers,
        join=join,
        encoder=ConvEncoderConfig(
            embedding=128, layers=3, channels=128, kernel=5, dropout=0.1, lstm=64
        ),
        decoder=FrameDecoderConfig(
            reduction_factor=reduction_factor,
            prenet=(256, 128),
            attention_rnn_dim=256,
            attention=LocationSensitiveConfig(dim=64, filters=16, kernel=15),
            stack=LSTMStackConfig(layers=1, dim=256),
        ),
        postnet=ConvPostnetConfig(layers=5, channels=128, kernel=5, dropout=0.0),
        mel_mean=-5.0,
        mel_scale=2.2,
    )


class Tacotron(nn.Module):
    """Tacotron or Tacotron 2: maps texts to log-mels, from which a vocoder makes speech.

    `TacotronConfig().build(symbols, mels)` makes it. Training calls it with a `TTSBatch`; it then
    runs teacher-forced and returns a `TacotronOutput`. To synthesise, call `generate`: tokens
    (batch, tokens) and their lengths (batch) to a `Generated` with mels (batch, frames, mels).

    Args:
        symbols: number of entries of the vocabulary.
        mels: number of mel bands.
        bins: width of the linear spectrum, if the post-net predicts one.
        config: settings of the parts.
    """

    optional_parts = ("style", "speakers", "join", "decoder.coarse")  # see `training.fitting`

    def __init__(self, symbols: int, mels: int, bins: int, config: TacotronConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = config.encoder.build(symbols)
        self.style = None if config.style is None else config.style.build(mels)
        self.speakers = conditioning.build_speakers(config.speakers, self.encoder)
        memory_dim = self.encoder.memory_dim
        self.join = conditioning.build_join(memory_dim, self.style, self.speakers, config.join)
        memory_dim = memory_dim if self.join is None else self.join.output_dim
        self.decoder = FrameDecoder(memory_dim, mels, config.decoder)
        self.postnet = config.postnet.build(mels, bins)
        self._update = 0

    def at_update(self, update: int) -> None:
        """Set the number of the optimizer update, on which penalties and schedules depend."""
        self._update = update
        self.decoder.at_update(update)
        if self.decoder.config != self.config.decoder:  # another reduction factor
            self.config = dataclasses.replace(self.config, decoder=self.decoder.config)

    def forward(self, batch: TTSBatch) -> TacotronOutput:
        """Run teacher-forced: each step reads the previous target frame of the batch.

        Raises:
            ConfigError: the mels have another number of bands; see also `FrameDecoder.forward`.
            DataError: a token is not in the model's vocabulary.

        Examples:
            >>> model(batch).mel_after.shape == batch.mel.shape  # at a reduction factor of 1
            True
        """
        frame_mask = length_mask(batch.frame_lengths, batch.mel.shape[1])
        latent = conditioning.batch_latent(self.style, batch, self.inward)
        encoded = self.encode(Text(batch.tokens, batch.token_lengths, latent, batch.speaker))
        memory_mask = length_mask(encoded.memory_lengths, encoded.memory.shape[1])
        decoded = self.decoder(self.inward(batch.mel), frame_mask, encoded.memory, memory_mask)
        mask = length_mask(batch.frame_lengths, decoded.mel.shape[1])
        mel_after, log_magnitude = self.postnet(decoded.mel, mask)
        return TacotronOutput.of(
            decoded,
            -(-batch.frame_lengths // self.config.decoder.reduction_factor),
            self.outward,
            mel_after=self.outward(mel_after),
            log_magnitude=log_magnitude if log_magnitude is None else self.outward(log_magnitude),
            latent=latent,
            penalties=conditioning.penalties(self.style, latent, self._update),
        )

    @torch.inference_mode()
    def generate(
        self,
        tokens: Tokens,
        token_lengths: Lengths,
        *,
        seed: int | Series[int] | None = None,
        max_steps: int | None = None,
        precision: str = "float32",
        latent: Latent | None = None,
        speaker: Speaker | None = None,
        window: int | None = None,
        length_scale: float = 1.0,
    ) -> Generated:
        """Speak a batch of texts, free-running: each step reads the decoder's own previous frame.

        Args:
            tokens, token_lengths: (batch, tokens) and (batch), every length at least 1.
            seed: seed of the pre-net's dropout, one for all rows or one per row; an utterance does
                not depend on the other rows. None draws one from torch's global generator.
            max_steps: maximum number of steps, in addition to the limit by each row's length.
            precision: "float32", "bfloat16" or "int8" weights in the decoder's loop; the fewer bits
                a step reads, the faster it is on a CPU. The first call with new weights packs them.
            latent: one style per row; None takes the mean of all codes in training.
            speaker: ids (batch), for a model with speakers.
            window, length_scale: of the attention, see `decoder_steps.Steering`.

        Raises:
            ConfigError: seeds, styles or speakers do not fit rows or model; max_steps is below 1;
                the precision is unknown; tokens, lengths are not integers (batch, tokens), (batch).
            DataError: a length is below 1 or beyond the tokens, or a token is unknown.

        Examples:
            >>> model = tacotron2_small().build(symbols=40, mels=80)
            >>> tokens, lengths = torch.tensor([[7, 8, 9, 1]]), torch.tensor([4])
            >>> output = model.generate(tokens, lengths, seed=0, max_steps=5)
            >>> mel = output.mel_after[0, : output.frame_lengths[0]]
        """
        steering, config = Steering(window, length_scale), self.config.decoder
        texts = text_inputs(config, tokens, token_lengths, seed, max_steps, length_scale)
        with evaluating(self):
            latent = conditioning.checked_latent(self.style, latent, len(tokens))
            encoded = conditioning.encoded_alone(self.encode, texts.text(latent, speaker))
            decode = self.decoder, encoded, texts.limits, texts.noise
            run = free_run(*decode, precision=precision, steering=steering)
            frame_lengths = run.step_lengths * config.reduction_factor
            mask = length_mask(frame_lengths, run.mel.shape[1])
            mel_after, log_magnitude = self.postnet(run.mel, mask)
            if log_magnitude is not None:
                log_magnitude = zero_padding(self.outward(log_magnitude), mask)
        mel_after = zero_padding(self.outward(mel_after), mask)
        return Generated.of(run, mel_after, log_magnitude, frame_lengths, latent)

    def encode(self, text: Text) -> Encoded:
        """Encode texts to the memory (batch, positions, dim), joined with style and speaker."""
        return conditioning.encoded(self.encoder, self.speakers, self.join, text)

    def inward(self, mel: Mel) -> Mel:
        """Map log-mels of any shape to the network's scale, on which `style.encode` reads them."""
        return (mel - self.config.mel_mean) / self.config.mel_scale

    def outward(self, mel: Tensor) -> Tensor:
        """Map mels or log magnitudes from the network's scale, the inverse of `inward`."""
        if (self.config.mel_mean, self.config.mel_scale) == (0.0, 1.0):
            return mel  # saves two passes over memory, which a large linear spectrum would feel
        return mel * self.config.mel_scale + self.config.mel_mean
