"""Free-running steps of a frame decoder in torch's operations, also through a window."""

import dataclasses
from typing import Any, NamedTuple

from torch import Tensor

from speechseq.models.decoder_output import DecoderState, Keep, StepOutput
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.nn.attention import steering
from speechseq.ranges import Count, LengthScale, checked
from speechseq.shapes import Memory, MemoryMask


@dataclasses.dataclass(frozen=True)
class Steering:
    """Control of the attention in free-running synthesis, for `free_run` and `MelStream`.

    Args:
        window: number of positions ahead of the furthest position reached that may get weight;
            half as many behind it may too. The position of a step is the median of its weights,
            and neither edge of the window ever moves back. None allows all positions. Mechanisms
            that are monotonic by themselves need no window and get none.
        length_scale: factor of the duration, for mechanisms whose speed can be set (GMM).
    """

    window: int | None = None
    length_scale: float = 1.0

    def __post_init__(self) -> None:
        """Raise ConfigError for a window below 1, or a length_scale beyond 0.1 to 10."""
        checked("window", self.window, Count | None)
        checked("length_scale", self.length_scale, LengthScale)

    def windowed(self, decoder: FrameDecoder) -> bool:
        """Return True if there is a window, and the decoder's attention can also move backward.

        Args:
            decoder: the frame decoder to be steered.
        """
        return self.window is not None and steering.needs_window(decoder.core.attention)


UNSTEERED = Steering()


class EagerSteps:
    """Runs a frame decoder on its own output, one step per call, in torch on any device.

    Calling it with the decoder's state returns the output of the next step and the new state; the
    first state comes from `start`. `GraphSteps` has the same interface and runs several steps per
    call on a GPU.

    Args:
        decoder: frame decoder in evaluation mode.

    Attributes:
        block: number of steps per call, 1.
        multiple: the number of memory positions is padded to a multiple of this number, 1.
    """

    block = multiple = 1

    def __init__(self, decoder: FrameDecoder) -> None:
        self.decoder = decoder
        self.ready = self.decoder.core.prepare()

    def __call__(self, state: DecoderState, keep: Keep | None) -> tuple[StepOutput, DecoderState]:
        """Run the next step: outputs (rows, 1, …) and the state after it.

        Args:
            state: result of `FrameDecoder.start`, or of the previous call.
            keep: dropout multipliers (rows, 1, size) of each pre-net layer; None for no dropout.
        """
        return self.decoder.advance(1, state, keep, self.ready)

    @staticmethod
    def fill(rows: Tensor) -> Tensor:
        """Return the indices of the utterances whose steps continue, unchanged.

        Its counterpart for CUDA graphs fills them up to the fixed size of a recorded batch.

        Args:
            rows: (rows), indices into the batch.

        Returns:
            The same indices (rows).
        """
        return rows


class WindowedState(NamedTuple):
    """State between two steps of a decoder whose attention reads through a window.

    Attributes:
        decoder: state of the decoder.
        reached: (batch), the furthest position reached.
        mask: (batch, positions), all valid positions.
    """

    decoder: DecoderState
    reached: Tensor
    mask: Tensor


class WindowedSteps(EagerSteps):
    """Runs a frame decoder step by step, with an attention window that only moves forward.

    Calling it with the decoder's state returns the output of the next step and the new state; the
    first state comes from `begin`.

    Args:
        decoder: frame decoder in evaluation mode.
        window: positions ahead of the furthest one reached that attention may read.
    """

    def __init__(self, decoder: FrameDecoder, window: int) -> None:
        super().__init__(decoder)
        self.window = window

    def begin(self, state: DecoderState, mask: MemoryMask) -> WindowedState:
        """Return the state before the first step: the window begins at the first position.

        Args:
            state: the decoder's own state before its first step.
            mask: (batch, positions), True for valid positions of the memory.

        Raises:
            ConfigError: the state of the attention has no mask that a window could narrow.
        """
        steering.check_window(self.decoder.core.attention, state.core.attention)
        return WindowedState(state, mask.new_zeros(len(mask)).long(), mask)

    def __call__(self, state: Any, keep: Keep | None) -> tuple[StepOutput, Any]:
        """Run the next step: outputs (rows, 1, …) and the WindowedState after it.

        Args:
            state: a WindowedState, the result of `begin` or of the previous call.
            keep: dropout multipliers (rows, 1, size) of each pre-net layer; None for no dropout.
        """
        core = state.decoder.core
        mask = steering.window_mask(state.reached, state.mask, self.window)
        core = core._replace(attention=steering.with_mask(core.attention, mask))
        output, decoder = super().__call__(state.decoder._replace(core=core), keep)
        reached = steering.next_reached(state.reached, output.weights[:, 0])
        return output, WindowedState(decoder, reached, state.mask)


def start(
    steps: Any, memory: Memory, memory_mask: MemoryMask, length_scale: float
) -> DecoderState | WindowedState:
    """Return the decoder's state before the first step of synthesis.

    Args:
        steps: an object that runs steps, such as `EagerSteps` or `WindowedSteps`.
        memory, memory_mask: (batch, positions, memory_dim) and (batch, positions), True = valid.
        length_scale: factor of the duration, for mechanisms whose speed can be set; 1 for all
            others.

    Raises:
        ConfigError: the attention can have no window, or its speed cannot be set.
    """
    state = steps.decoder.start(memory, memory_mask)
    attention, pace = steps.decoder.core.attention, 1 / length_scale
    paced = steering.with_pace(attention, state.core.attention, pace)
    state = state._replace(core=state.core._replace(attention=paced))
    return steps.begin(state, memory_mask) if isinstance(steps, WindowedSteps) else state
