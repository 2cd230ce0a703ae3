"""Latent: a style as a person sets it, as the model hears it, and as a distribution."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

Code = Float[Tensor, "batch *code_shape"]
StyleVector = Float[Tensor, "batch style_dim"]


class Latent(NamedTuple):
    """Styles of a batch of utterances.

    Attributes:
        code: (batch, *code_shape), what a person reads and sets: z, or the weights of tokens
            (heads, tokens).
        vector: (batch, style_dim), what joins the memory of the text.
        posterior: distribution of the code given the reference, of batch shape (batch) and event
            shape `code_shape`; None if the code is deterministic or was not encoded.
    """

    code: Code
    vector: StyleVector
    posterior: Distribution | None
