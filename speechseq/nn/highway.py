"""Highway layers, whose gate mixes the transformed input with the input itself."""

from jaxtyping import Float
from torch import Tensor, nn

from speechseq.ops.linear import project
from speechseq.ops.pointwise import highway


class Highway(nn.Module):
    """Highway layer: y = g * relu(W x + b) + (1 - g) * x with g = sigmoid(V x + c).

    Calling it maps x (…, dim) to y of the same shape. The bias c of the gate starts at -1, so that
    the layer begins close to the identity. Source: Srivastava et al. 2015.

    Args:
        dim: channels of x and y.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.transform = nn.Linear(dim, dim)
        self.gate = nn.Linear(dim, dim)
        nn.init.zeros_(self.transform.bias)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Float[Tensor, "*rest dim"]) -> Float[Tensor, "*rest dim"]:
        """Apply the layer over the last axis.

        Args:
            x: (…, dim).

        Returns:
            The output, (…, dim).
        """
        return highway(x, project(self.transform, x), project(self.gate, x))
