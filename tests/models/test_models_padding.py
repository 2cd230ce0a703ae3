"""Law 1, padding changes nothing: for every part that meets padding. A new part is one entry."""

import dataclasses
import math

import pytest
import torch
from padding_law import (
    Inputs,
    Lengths,
    Outputs,
    Part,
    Stream,
    assert_same_results,
    joined,
    make_items,
    run,
)
from tiny_tacotron import (
    BINS,
    MELS,
    tiny_model,
    tiny_tacotron1,
    tiny_tacotron2,
    without_dropout,
)
from torch import Tensor, nn

from speechseq.batch import TTSBatch
from speechseq.models.decoder_stack import LSTMStackConfig, ResidualGRUStackConfig
from speechseq.models.encoders import CBHGEncoderConfig, ConvEncoderConfig
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.postnets import ConvPostnetConfig, LinearPostnetConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention_rnn import AttentionRNN
from speechseq.nn.cbhg import CBHG
from speechseq.nn.cells import SplitGRU, SplitLSTM
from speechseq.nn.conv import MaskedBatchNorm, MaskedConv
from speechseq.nn.highway import Highway
from speechseq.nn.masks import length_mask
from speechseq.nn.postnet import Postnet
from speechseq.nn.prenet import Prenet
from speechseq.nn.recurrent import BiGRU, BiLSTM
from speechseq.ops.varlen import Varlen

LENGTHS = (6, 1, 9, 2)
STEPS = (5, 8, 1, 3)


def sequence(channels: int) -> dict[str, Stream]:
    return {"x": Stream(channels, LENGTHS)}


def spoken(channels: int) -> dict[str, Stream]:
    return {"memory": Stream(channels, LENGTHS), "steps": Stream(MELS, STEPS)}


def by_mask(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    return [(module(x["x"], length_mask(lengths["x"], x["x"].shape[1])), lengths["x"])]


def by_lengths(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    return [(module(x["x"], lengths["x"]), lengths["x"])]


def by_position(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    return [(module(x["x"]), lengths["x"])]


def by_rows(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    rows = Varlen.of(length_mask(lengths["x"], x["x"].shape[1]))
    return [(rows.pad(module(rows.unpad(x["x"]), rows)), lengths["x"])]


def encoded(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    return [tuple(module(x["x"], lengths["x"]))]


def refined(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    output = module(x["x"], length_mask(lengths["x"], x["x"].shape[1]))
    return [(part, lengths["x"]) for part in output if part is not None]


def attention_steps(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    """Four steps with the same queries for every item; weights are positions, context a step."""
    memory, queries = x["memory"], torch.linspace(-2, 2, 12).reshape(4, 1, 3).to(x["memory"])
    state = module.start(memory, length_mask(lengths["memory"], memory.shape[1]))
    weights, contexts = [], []
    for query in queries:
        context, weight, state = module(query.expand(len(memory), -1), state)
        weights.append(weight)
        contexts.append(context)
    steps = torch.full_like(lengths["memory"], 4)
    return [(torch.stack(weights, 2), lengths["memory"]), (torch.stack(contexts, 1), steps)]


def read(alignment: Tensor, lengths: Lengths) -> tuple[Tensor, ...]:
    """An alignment, valid on two axes; it must be exactly 0 behind the memory."""
    steps = length_mask(lengths["steps"], alignment.shape[1])[:, :, None]
    behind = length_mask(lengths["memory"], alignment.shape[2]).logical_not()[:, None]
    assert not torch.where(steps & behind, alignment, 0.0).any()
    return alignment, lengths["steps"], lengths["memory"]


def core_steps(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    memory = x["memory"]
    mask = length_mask(lengths["memory"], memory.shape[1])
    known = torch.where(
        length_mask(lengths["steps"], x["steps"].shape[1])[..., None], x["steps"], 0
    )
    output = module(known, memory, mask)
    outputs = [(output.hidden, lengths["steps"]), (output.context, lengths["steps"])]
    return [*outputs, read(output.alignment, lengths)]


def decoded(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    r = module.config.reduction_factor
    mask = length_mask(lengths["memory"], x["memory"].shape[1])
    frame_mask = length_mask(lengths["steps"], x["steps"].shape[1])
    output = module(x["steps"], frame_mask, x["memory"], mask)
    steps = -(-lengths["steps"] // r)
    outputs = [(output.mel, lengths["steps"]), (output.stop_logits, steps)]
    return [*outputs, read(output.alignment, lengths | {"steps": steps})]


def spoken_whole(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    output = module(
        TTSBatch(
            tokens=x["memory"],
            token_lengths=lengths["memory"],
            mel=x["steps"],
            frame_lengths=lengths["steps"],
        )
    )
    frames, steps = lengths["steps"], output.step_lengths
    outputs = [
        (output.mel_before, frames),
        (output.mel_after, frames),
        (output.stop_logits, steps),
    ]
    if output.log_magnitude is not None:
        outputs.append((output.log_magnitude, frames))
    return [*outputs, read(output.alignment, lengths | {"steps": steps})]


def attention_rnn(cell: type, attention: object) -> AttentionRNN:
    return AttentionRNN(cell(MELS, 4, 6), attention.build(6, 4))


CONTENT = ContentConfig(dim=5)
LOCATION = LocationSensitiveConfig(dim=5, filters=3, kernel=5)
QUIET1, QUIET2 = without_dropout(tiny_tacotron1()), without_dropout(tiny_tacotron2())
LINEAR = LinearPostnetConfig(bank=3, channels=6, projections=(7,), highways=2, gru=4)
CONV_ENCODER = ConvEncoderConfig(embedding=6, channels=7, dropout=0.0, lstm=4)
CBHG_ENCODER = CBHGEncoderConfig(
    embedding=6, prenet=(7, 5), dropout=0.0, bank=4, channels=6, projections=(6, 5), gru=4
)
TOKENS = {"x": Stream(0, LENGTHS)}
TEXT = {"memory": Stream(0, LENGTHS), "steps": Stream(MELS, STEPS)}


def quiet_decoder(config: object, r: int) -> FrameDecoder:
    return FrameDecoder(4, MELS, dataclasses.replace(config.decoder, reduction_factor=r))


PARTS = [
    Part("batch norm", lambda: MaskedBatchNorm(3), sequence(3), by_mask, normalises=True),
    Part("conv", lambda: MaskedConv(3, 4, 5), sequence(3), by_mask, normalises=True),
    Part("even conv", lambda: MaskedConv(3, 4, 4), sequence(3), by_mask, normalises=True),
    Part(
        "conv, norm last",
        lambda: MaskedConv(3, 4, 3, norm_last=True),
        sequence(3),
        by_mask,
        normalises=True,
    ),
    Part("highway", lambda: Highway(3), sequence(3), by_position),
    Part("prenet", lambda: Prenet(3, (5, 4), 0.0), sequence(3), by_position),
    Part("BiLSTM", lambda: BiLSTM(3, 4), sequence(3), by_lengths),
    Part("BiGRU", lambda: BiGRU(3, 4), sequence(3), by_lengths),
    Part(
        "CBHG",
        lambda: CBHG(4, bank=5, channels=6, projections=(7, 4), highways=2, gru=3),
        sequence(4),
        by_lengths,
        normalises=True,
    ),
    Part(
        "postnet",
        lambda: Postnet(3, layers=3, channels=6, dropout=0.0),
        sequence(3),
        by_mask,
        normalises=True,
    ),
    Part(
        "conv postnet",
        lambda: ConvPostnetConfig(layers=3, channels=6, dropout=0.0).build(MELS, None),
        sequence(MELS),
        refined,
        normalises=True,
    ),
    Part(
        "linear postnet",
        lambda: LINEAR.build(MELS, BINS),
        sequence(MELS),
        refined,
        normalises=True,
    ),
    Part("conv encoder", lambda: CONV_ENCODER.build(6), TOKENS, encoded, normalises=True),
    Part("CBHG encoder", lambda: CBHG_ENCODER.build(6), TOKENS, encoded, normalises=True),
    Part(
        "content attention",
        lambda: CONTENT.build(3, 4),
        {"memory": Stream(4, LENGTHS)},
        attention_steps,
    ),
    Part(
        "location-sensitive attention",
        lambda: LOCATION.build(3, 4),
        {"memory": Stream(4, LENGTHS)},
        attention_steps,
    ),
    Part("attention RNN, LSTM", lambda: attention_rnn(SplitLSTM, LOCATION), spoken(4), core_steps),
    Part("attention RNN, GRU", lambda: attention_rnn(SplitGRU, CONTENT), spoken(4), core_steps),
    Part(
        "LSTM stack",
        lambda: LSTMStackConfig(layers=2, dim=5, dropout=0.0).build(3),
        sequence(3),
        by_rows,
    ),
    Part(
        "residual GRU stack",
        lambda: ResidualGRUStackConfig(layers=2, dim=5).build(3),
        sequence(3),
        by_rows,
    ),
    Part("decoder 1, r = 3", lambda: quiet_decoder(QUIET1, 3), spoken(4), decoded),
    Part("decoder 2, r = 1", lambda: quiet_decoder(QUIET2, 1), spoken(4), decoded),
    Part("decoder 2, r = 2", lambda: quiet_decoder(QUIET2, 2), spoken(4), decoded),
    Part("Tacotron 1", lambda: tiny_model(QUIET1), TEXT, spoken_whole, normalises=True),
    Part("Tacotron 2", lambda: tiny_model(QUIET2), TEXT, spoken_whole, normalises=True),
]
# parts that work forwards position by position: padding comes after and is cut off by whoever
# reads them, so it cannot reach a valid output; NaN there is cleaned by the masked part before
FORWARDS_ONLY = {"highway", "prenet"}
each_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
each_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def built(part: Part, dtype: torch.dtype) -> nn.Module:
    """The part with running statistics that are not the neutral 0 and 1."""
    module = part.build().to(dtype)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-1, 1)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return module


def garbage_for(part: Part, garbage: float) -> float:
    return 1e4 if part.name in FORWARDS_ONLY and math.isnan(garbage) else garbage


@each_type
@each_part
@pytest.mark.parametrize("garbage", [1e4, math.nan])
def test_law_1_an_item_alone_equals_its_row_in_a_padded_batch(part, dtype, garbage):
    module = built(part, dtype).eval()
    items = make_items(part, dtype)
    alone = joined([run(part, module, [item], 0, 0.0) for item in items])
    batch = run(part, module, items, 3, garbage_for(part, garbage))
    assert_same_results(batch, alone)


@each_type
@each_part
@pytest.mark.parametrize("garbage", [1e4, math.nan])
def test_law_1_in_training_more_padding_changes_nothing(part, dtype, garbage):
    module = built(part, dtype).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    items = make_items(part, dtype)
    tight = run(part, module, items, 0, 0.0)
    module.load_state_dict(before)
    loose = run(part, module, items, 4, garbage_for(part, garbage))
    assert_same_results(loose, tight)
    moved = [n for n, b in tight.buffers.items() if not torch.equal(b, before[n])]
    assert bool(moved) == part.normalises
