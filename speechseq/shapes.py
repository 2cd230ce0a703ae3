"""Names for tensor shapes, batch first and time second; the tests check annotations at run time.

In the names, `r` is the reduction factor: the number of frames per decoder step.
"""

from typing import NamedTuple

from jaxtyping import Bool, Float, Integer
from torch import Tensor

Waveform = Float[Tensor, "batch samples"]
Mel = Float[Tensor, "batch frames mels"]
Reference = Float[Tensor, "batch reference_frames mels"]
Magnitude = Float[Tensor, "batch frames bins"]
Grouped = Float[Tensor, "batch steps r_mels"]
StepInputs = Float[Tensor, "batch steps mels"]
Tokens = Integer[Tensor, "batch tokens"]
Lengths = Integer[Tensor, " batch"]
Mask = Bool[Tensor, "batch time"]
FrameMask = Bool[Tensor, "batch frames"]
Sequence = Float[Tensor, "batch time channels"]
Hidden = Float[Tensor, "batch time hidden"]
Memory = Float[Tensor, "batch positions memory_dim"]
MemoryMask = Bool[Tensor, "batch positions"]
Query = Float[Tensor, "batch query_dim"]
Context = Float[Tensor, "batch memory_dim"]
Weights = Float[Tensor, "batch positions"]
Alignment = Float[Tensor, "batch steps positions"]
StopLogits = Float[Tensor, "batch steps"]
LogProbs = Float[Tensor, "batch steps symbols"]
Scalar = Float[Tensor, ""]


class Encoded(NamedTuple):
    """Output of an encoder: the memory that a decoder's attention reads.

    Attributes:
        memory: (batch, positions, memory_dim).
        memory_lengths: (batch), number of valid positions of each row.
    """

    memory: Memory
    memory_lengths: Lengths
