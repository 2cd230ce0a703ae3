"""Settings of encoders and decoders as the papers of Tacotron and Tacotron 2 give them."""

from speechseq.models.decoder_stack import LSTMStackConfig, ResidualGRUStackConfig
from speechseq.models.encoders import CBHGEncoderConfig
from speechseq.models.frame_decoder import FrameDecoderConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig


def tacotron1_encoder() -> CBHGEncoderConfig:
    """Return the settings of Tacotron's encoder (Wang 2017, table 1)."""
    return CBHGEncoderConfig(
        embedding=256,
        prenet=(256, 128),
        bank=16,
        channels=128,
        projections=(128, 128),
        highways=4,
        gru=128,
    )


def tacotron1_decoder(reduction_factor: int) -> FrameDecoderConfig:
    """Return the settings of Tacotron's decoder (Wang 2017, table 1).

    Args:
        reduction_factor: mel frames per decoder step.
    """
    return FrameDecoderConfig(
        reduction_factor=reduction_factor,
        prenet=(256, 128),
        prenet_bias=True,
        attention_rnn="gru",
        attention_rnn_dim=256,
        attention_rnn_dropout=0.0,
        attention=ContentConfig(dim=256),
        stack=ResidualGRUStackConfig(layers=2, dim=256),
        project_context=False,
    )


def tacotron2_decoder(reduction_factor: int, dropout: float, zoneout: float) -> FrameDecoderConfig:
    """Return the settings of Tacotron 2's decoder (Shen 2018, §2.2).

    Args:
        reduction_factor: mel frames per decoder step.
        dropout: rate of the outputs of attention RNN and decoder stack.
        zoneout: rate at which units of their states keep their values.
    """
    return FrameDecoderConfig(
        reduction_factor=reduction_factor,
        prenet=(256, 256),
        prenet_bias=False,
        attention_rnn="lstm",
        attention_rnn_dim=1024,
        attention_rnn_dropout=dropout,
        attention_rnn_zoneout=zoneout,
        attention=LocationSensitiveConfig(dim=128, filters=32, kernel=31),
        stack=LSTMStackConfig(layers=1, dim=1024, dropout=dropout, zoneout=zoneout),
        project_context=True,
    )
