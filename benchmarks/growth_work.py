"""Arithmetic of a Tacotron 2, counted from its weights: a lower bound for every kernel."""

from typing import NamedTuple

from torch import Tensor

from speechseq.models.tacotron import Tacotron

BYTES = {"float32": 4, "bf16": 2, "int8": 1}
ATTENTION = "decoder.core.attention."
EACH_POSITION = ("filters.weight", "location.weight", "energy.weight")  # of the attention


class Shape(NamedTuple):
    """Batch without padding: rows, tokens per row, decoder steps per row, frames per step."""

    batch: int
    tokens: int
    steps: int
    reduction_factor: int


class Work(NamedTuple):
    """Total FLOPs, and the bytes that each of `passes` passes has to read again."""

    flops: float
    bytes_a_pass: float
    passes: int


def teacher_forced(model: Tacotron, shape: Shape, precision: str) -> Work:
    """Count the work of a training update: forward, and twice that backward.

    A step reads only the recurrent weights again, once forward and once backward, so there are
    twice as many passes as steps.
    """
    recurs = sum(p.numel() for name, p in _matrices(model) if _recurs(name))
    recurs -= _hoisted(model)
    total = sum(_products(model, shape).values())
    read = BYTES[precision] * (recurs + _remembered(model, shape))
    return Work(6 * total, read, 2 * shape.steps)


def free_running(model: Tacotron, shape: Shape, precision: str) -> Work:
    """Count the work of free-running decoder steps, which all read the decoder's weights."""
    products = _products(model, shape)
    flops = sum(count for name, count in products.items() if _each_step(name))
    weights = sum(p.numel() for name, p in _matrices(model) if _each_step(name))
    read = BYTES[precision] * weights + BYTES["float32"] * _remembered(model, shape)
    return Work(2 * flops, read, shape.steps)


def _products(model: Tacotron, shape: Shape) -> dict[str, float]:
    """Number of multiplications for each weight, and for the attention's weighted mean."""
    tokens, steps = shape.batch * shape.tokens, shape.batch * shape.steps
    found: dict[str, float] = {}
    for name, parameter in _matrices(model):
        times = {
            "encoder": tokens,
            "decoder": steps,
            "postnet": steps * shape.reduction_factor,
        }[name.split(".")[0]]
        if name == f"{ATTENTION}key.weight":
            times = tokens
        elif name.startswith(ATTENTION) and name.endswith(EACH_POSITION):
            times = steps * shape.tokens
        found[name] = parameter.numel() * times
    found["decoder.context"] = steps * shape.tokens * model.encoder.memory_dim
    return found


def _matrices(model: Tacotron) -> list[tuple[str, Tensor]]:
    """Weight matrices, without biases, norms and embeddings."""
    named = model.named_parameters()
    return [(name, p) for name, p in named if p.dim() > 1 and not name.endswith("embedding.weight")]


def _each_step(name: str) -> bool:
    return name.startswith("decoder.") and name != f"{ATTENTION}key.weight"


def _recurs(name: str) -> bool:
    attention = name.startswith(ATTENTION) and name != f"{ATTENTION}key.weight"
    return attention or name.startswith("decoder.core.cell.") or name.endswith("weight_hh")


def _hoisted(model: Tacotron) -> int:
    """Number of weights of the attention RNN whose inputs are known before the loop."""
    cell = model.decoder.core.cell
    return cell.weight_ih.shape[0] * model.decoder.prenet.output_dim


def _remembered(model: Tacotron, shape: Shape) -> int:
    """Number of elements of memory and keys, which the attention reads at each step."""
    keys = model.decoder.core.attention.key.weight.shape[0]
    return shape.batch * shape.tokens * (model.encoder.memory_dim + keys)
