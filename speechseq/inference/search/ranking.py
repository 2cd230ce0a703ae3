"""The best of many scores, the same ones every time."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

Scores = Float[Tensor, "utterances candidates"]
Indices = Int[Tensor, "utterances best"]


def best(scores: Scores, count: int) -> Indices:
    """Where the `count` highest scores of each row stand, best first; of equals the first.

    torch.topk may take any of equals. Here score and place together make one integer, so no two
    are equal. A row's scores count by their distance to its highest, in single precision.
    """
    places = scores.shape[1]
    below = scores - scores.amax(dim=1, keepdim=True)
    bits = (below.float() + 0.0).view(torch.int32)  # + 0.0: minus zero equals zero
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # rises with the number that the bits stand for
    backwards = torch.arange(places - 1, -1, -1, device=scores.device)
    return torch.topk((order.long() << 32) | backwards, count, dim=1).indices
