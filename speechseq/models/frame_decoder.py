"""Frame decoder of the Tacotron family: r mel frames and a stop logit per step."""

import dataclasses
import math
from collections.abc import Sequence as Series
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from speechseq.config import Config, choice
from speechseq.models.consistency import CoarseDecoderConfig
from speechseq.models.decoder_output import (
    CoarseOutput,
    DecoderOutput,
    DecoderState,
    Keep,
    StepOutput,
)
from speechseq.models.decoder_stack import (
    DecoderStackConfig,
    LSTMStackConfig,
    ResidualGRUStackConfig,
)
from speechseq.models.gradual import GradualReductionConfig, ReductionFactor
from speechseq.models.reduction import resize_head
from speechseq.models.sampling import SamplingConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.forward import ForwardConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.stepwise_monotonic import StepwiseMonotonicConfig
from speechseq.nn.attention_rnn import AttentionRNN, StepWeights
from speechseq.nn.cells import CELLS
from speechseq.nn.frames import teacher_inputs, ungroup_frames
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.nn.prenet import Prenet
from speechseq.ops.linear import project
from speechseq.ops.varlen import Varlen
from speechseq.ranges import Dropout, Every, Range, Width, Widths
from speechseq.shapes import (
    FrameMask,
    Mel,
    Memory,
    MemoryMask,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameDecoderConfig(Config):
    """Settings of the decoder; the defaults are Tacotron 2's as NVIDIA and torchaudio build it.

    Attributes:
        reduction_factor: r, mel frames per decoder step; `gradual` changes it in training.
        prenet: widths of the pre-net's layers, through which the previous frame enters a step;
            `prenet_dropout` and `prenet_bias` belong to these layers.
        free_running_dropout: keep the pre-net's dropout in synthesis.
        attention_rnn: cell of the RNN that queries the attention; its units, dropout and zoneout
            are the `attention_rnn_…` fields.
        attention: mechanism by which that RNN reads the encoded text.
        stack: RNN above the attention RNN, from whose output frames and stop are projected.
        project_context: frames and stop are projected from [stack output; context].
        stop_threshold: stop probability above which an utterance ends.
        attention_end_steps: number of consecutive steps with the largest weight on the last
            position, after which an utterance also ends.
        frames_per_token, spare_frames: an utterance has at most frames_per_token · tokens +
            spare_frames frames.
        gradual: schedule of r in training, which `Tacotron.at_update` follows.
        coarse: second decoder with a larger reduction factor, in training only, which aligns sooner
            and pulls this one along (double decoder consistency).
        sampling: scheduled sampling in training: steps that read the last frame that the decoder
            itself made, before the post-net. These steps run in torch, one after another.
    """

    reduction_factor: ReductionFactor = 1
    prenet: Widths = (256, 256)
    prenet_dropout: Dropout = 0.5
    prenet_bias: bool = False
    free_running_dropout: bool = True
    attention_rnn: Literal["lstm", "gru"] = "lstm"
    attention_rnn_dim: Width = 1024
    attention_rnn_dropout: Dropout = 0.1
    attention_rnn_zoneout: Dropout = 0.0
    attention: AttentionConfig = choice(
        LocationSensitiveConfig,
        ContentConfig,
        DotConfig,
        MultiHeadConfig,
        GMMConfig,
        DynamicConvolutionConfig,
        ForwardConfig,
        StepwiseMonotonicConfig,
        default=LocationSensitiveConfig(),
    )
    stack: DecoderStackConfig = choice(
        LSTMStackConfig, ResidualGRUStackConfig, default=LSTMStackConfig()
    )
    project_context: bool = True
    stop_threshold: Annotated[float, Range(0, 1, above=True, below=True)] = 0.5
    attention_end_steps: Every = 60
    frames_per_token: Annotated[float, Range(0, 200)] = 20.0
    spare_frames: Annotated[int, Range(0, 10_000)] = 200
    gradual: GradualReductionConfig | None = None
    sampling: SamplingConfig = SamplingConfig()
    coarse: CoarseDecoderConfig | None = None

    def check(self) -> None:
        """Raise ConfigError unless the coarse decoder's factor is a multiple of this one's."""
        if self.coarse is not None:
            self.coarse.check_multiple(math.lcm(self.reduction_factor, self.frame_multiple))

    @property
    def frame_multiple(self) -> int:
        """Number of frames of which the length of a training batch must be a multiple."""
        return self.reduction_factor if self.gradual is None else self.gradual.frame_multiple

    def step_limits(self, token_lengths: Tensor) -> Tensor:
        """Return the maximum number of steps (batch) for texts of these token lengths (batch)."""
        frames = self.spare_frames + self.frames_per_token * token_lengths
        return (frames / self.reduction_factor).ceil().long()


_NO_AIDS: dict[str, Any] = {"gradual": None, "sampling": SamplingConfig(), "coarse": None}


class FrameDecoder(nn.Module):
    """Decoder of a Tacotron: maps encoded text to r mel frames and a stop logit per step.

    In a step, these parts run: pre-net, attention RNN, attention, decoder stack, projections.
    In training, call the module with the target mel (`forward`); only the attention RNN then runs
    step by step. In synthesis, call `start` once and then `step` or `advance`, as
    `speechseq.models.generation.free_run` does until every row has ended.

    Args:
        memory_dim: width of the encoded text (batch, positions, memory_dim).
        mels: number of mel bands.
        config: a `FrameDecoderConfig`, the settings of the parts.
    """

    def __init__(self, memory_dim: int, mels: int, config: FrameDecoderConfig) -> None:
        super().__init__()
        self.config, self.mels = config, mels
        self.prenet = Prenet(mels, config.prenet, config.prenet_dropout, config.prenet_bias)
        cell = CELLS[config.attention_rnn](
            self.prenet.output_dim,
            memory_dim,
            config.attention_rnn_dim,
            zoneout=config.attention_rnn_zoneout,
            dropout=config.attention_rnn_dropout,
        )
        attention = config.attention.build(config.attention_rnn_dim, memory_dim)
        self.core = AttentionRNN(cell, attention)
        self.stack = config.stack.build(config.attention_rnn_dim + memory_dim)
        width = self.stack.output_dim + memory_dim * config.project_context
        self.frames = nn.Linear(width, config.reduction_factor * mels)
        self.stop = nn.Linear(width, 1)
        for layer in (self.frames, self.stop):
            nn.init.xavier_uniform_(layer.weight)
        self.sampling_rate = config.sampling.at(0)
        self.coarse: nn.Module | None = None
        if config.coarse is not None:  # last, so that it does not change the other initial weights
            alone = dataclasses.replace(
                config, reduction_factor=config.coarse.reduction_factor, **_NO_AIDS
            )
            self.coarse = FrameDecoder(memory_dim, mels, alone)

    def forward(
        self, mel: Mel, frame_mask: FrameMask, memory: Memory, memory_mask: MemoryMask
    ) -> DecoderOutput:
        """Run all steps teacher-forced: each reads the last target frame of the previous step.

        Args:
            mel: (batch, frames, mels), target frames on the network's scale (`Tacotron.inward`).
            frame_mask: (batch, frames), True at valid frames.
            memory, memory_mask: encoded text (batch, positions, memory_dim), and (batch,
                positions), True at valid positions.
        Raises:
            ConfigError: in training, a number of frames that the scheduled reduction factors do not
                divide.
        """
        if self.training and self.config.gradual is not None:
            self.config.gradual.check_frames(mel.shape[1])
        inputs = teacher_inputs(zero_padding(mel, frame_mask), self.config.reduction_factor)
        steps = -(-frame_mask.sum(1) // self.config.reduction_factor)
        run = self._sampled if self.training and self.sampling_rate else self._at_once
        output = run(inputs, steps, memory, memory_mask)
        if self.training and isinstance(self.coarse, FrameDecoder):
            coarse = self.coarse(mel, frame_mask, memory, memory_mask)
            factors = self.coarse.config.reduction_factor, self.config.reduction_factor
            output = output._replace(coarse=CoarseOutput.of(coarse, frame_mask.sum(1), *factors))
        return output

    def _at_once(
        self, inputs: Tensor, steps: Tensor, memory: Tensor, memory_mask: Tensor
    ) -> DecoderOutput:
        """Run all steps, of which only those of the attention RNN one after another."""
        rows = Varlen.of(length_mask(steps, inputs.shape[1]))
        inputs = rows.pad(self.prenet(rows.unpad(inputs)))
        core = self.core(inputs, memory, memory_mask, steps)
        hidden, context = rows.unpad(core.hidden), rows.unpad(core.context)
        stacked = self.stack(torch.cat([hidden, context], dim=1), rows)
        top = self._top(stacked, context)
        frames = rows.pad(project(self.frames, top))
        stop = rows.pad(self.stop(top)).squeeze(-1)
        frames = ungroup_frames(frames, self.config.reduction_factor)
        return DecoderOutput(frames, stop, core.alignment)

    def at_update(self, update: int) -> None:
        """Set reduction factor and scheduled sampling as scheduled for an optimizer update."""
        self.sampling_rate = self.config.sampling.at(update)
        if self.config.gradual is not None:
            self.set_reduction_factor(self.config.gradual.at(update))

    def set_reduction_factor(self, r: int) -> None:
        """Change r, the number of frames per step, in place, by rearranging the projection's rows.

        The rows of the frames that a step keeps stay, and further frames repeat those of the last
        one (`reduction.fit_reduction`). The parameters stay the same objects, so that an optimizer
        keeps them; their gradients are dropped.
        """
        if r != self.config.reduction_factor:
            resize_head(self.frames, self.config.reduction_factor, r, self.mels)
            self.config = dataclasses.replace(self.config, reduction_factor=r)

    def start(self, memory: Memory, memory_mask: MemoryMask) -> DecoderState:
        """Return the state before the first free-running step, with a previous frame of zeros.

        `memory` (batch, positions, memory_dim) is the encoded text, `memory_mask` (batch,
        positions) True at its valid positions.
        """
        batch = memory.shape[0]
        core = self.core.start(memory, memory_mask)
        frame = memory.new_zeros(batch, self.mels)
        return DecoderState(core, self.stack.start(batch, memory), frame)

    def step(
        self,
        state: DecoderState,
        ready: StepWeights,
        keep: Series[Tensor] | None = None,
    ) -> tuple[StepOutput, DecoderState]:
        """Run one free-running step on the frame in `state`; return the output and the next state.

        Args:
            state: state before the step, from `start` or the step before.
            ready: result of `self.core.prepare()`, which all steps of an utterance share.
            keep: dropout multipliers (batch, size) of each pre-net layer; None for no dropout.
        """
        gates = self.core.cell.hoist(self.prenet(state.frame, keep))
        weights, core = self.core.step(gates, state.core, ready)
        inputs = torch.cat([core.hidden, core.context], dim=-1)
        stacked, stack = self.stack.step(inputs, state.stack)
        top = self._top(stacked, core.context)
        frames = self.frames(top)
        output = StepOutput(frames, self.stop(top).squeeze(-1), weights)
        return output, DecoderState(core, stack, frames[:, -self.mels :])

    def advance(
        self, steps: int, state: DecoderState, keep: Keep | None, ready: StepWeights | None = None
    ) -> tuple[StepOutput, DecoderState]:
        """Run `steps` free-running steps; return outputs (rows, steps, …) and the next state.

        Args:
            steps: number of steps to run.
            state: state before them, from `start` or an earlier call.
            keep: dropout multipliers (rows, steps, size) of each pre-net layer; None for no
                dropout.
            ready: result of `self.core.prepare()`. If None, it is computed here, so that a CUDA
                graph reads current weights.
        """
        ready = ready or self.core.prepare()
        outputs = []
        for t in range(steps):
            output, state = self.step(
                state, ready, None if keep is None else [x[:, t] for x in keep]
            )
            outputs.append(output)
        return StepOutput(*(torch.stack(x, dim=1) for x in zip(*outputs, strict=True))), state

    def _sampled(
        self, inputs: Tensor, step_lengths: Tensor, memory: Tensor, memory_mask: Tensor
    ) -> DecoderOutput:
        """Run all steps; some rows of each read the frame that the decoder made before."""
        state, ready, outputs = self.start(memory, memory_mask), self.core.prepare(), []
        for t, true in enumerate(inputs.unbind(1)):
            own = torch.rand(len(true), device=true.device) < self.sampling_rate
            fed = torch.where(own.unsqueeze(1), state.frame.detach().to(true), true) if t else true
            output, state = self.step(state._replace(frame=fed), ready)
            outputs.append(output)
        mask = length_mask(step_lengths, inputs.shape[1])
        frames, stop, alignment = (torch.stack(x, dim=1) for x in zip(*outputs, strict=True))
        frames = ungroup_frames(zero_padding(frames, mask), self.config.reduction_factor)
        return DecoderOutput(frames, stop.where(mask, 0.0), zero_padding(alignment, mask))

    def _top(self, stacked: Tensor, context: Tensor) -> Tensor:
        return torch.cat([stacked, context], dim=-1) if self.config.project_context else stacked
