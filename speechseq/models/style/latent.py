"""Latent: styles of a batch, as codes, as vectors for the model, and as distributions."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

Code = Float[Tensor, "batch *code_shape"]
StyleVector = Float[Tensor, "batch style_dim"]


class Latent(NamedTuple):
    """Styles of a batch of utterances, which the methods of `Style` return.

    Attributes:
        code: (batch, *code_shape), which a user reads and sets: the latent variable z, or the
            weights of style tokens (heads, tokens).
        vector: (batch, style_dim), which is joined to the memory of the text.
        posterior: distribution of the code given the reference, of batch shape (batch) and event
            shape `code_shape`; None if the code is deterministic or was not inferred.
    """

    code: Code
    vector: StyleVector
    posterior: Distribution | None

    def row(self, i: int) -> "Latent":
        """Return the style of one utterance as a batch of one, without its posterior.

        Args:
            i: index of the utterance in the batch.
        """
        return Latent(self.code[i : i + 1], self.vector[i : i + 1], None)
