"""Every attention mechanism and every way to read, in plain NumPy: one item, one step at a time."""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import torch
from relative_mechanisms import (
    convolution_weights,
    forward_weights,
    gmm_weights,
    stepwise_weights,
)
from torch import Tensor, nn

from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.forward import ForwardConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.attention.stepwise_monotonic import StepwiseMonotonicConfig
from speechseq.nn.masks import length_mask

QUERY, MEMORY, STEPS = 3, 4, 5
LENGTHS = torch.tensor([6, 1, 9, 2])
Array = np.ndarray
Parameters = dict[str, Array]
Energies = Callable[[AttentionConfig, Parameters, Array, Array, list[Array]], Array]


def content_energies(
    config: ContentConfig, w: Parameters, query: Array, memory: Array, past: list[Array]
) -> Array:
    """v · tanh(W q + V h_n) position by position (Bahdanau 2015)."""
    hidden = [np.tanh(w["query.weight"] @ query + w["key.weight"] @ h) for h in memory]
    return np.array([w["energy.weight"][0] @ h for h in hidden])


def location_energies(
    config: LocationSensitiveConfig, w: Parameters, query: Array, memory: Array, past: list[Array]
) -> Array:
    """v · tanh(W q + V h_n + U f_n), f the filtered weights of the past (Chorowski 2015)."""
    filters, size = w["filters.weight"], len(memory)
    total = np.sum([np.zeros(size), *past[1:]], axis=0)  # what came before the first is no reading
    read = [past[-1]] if config.history == "previous" else [past[-1], total]
    reach = filters.shape[2] // 2
    padded = np.pad(read, ((0, 0), (reach, reach)))
    energies = np.empty(size)
    for n in range(size):
        found = np.tensordot(filters, padded[:, n : n + 2 * reach + 1])
        hidden = (
            w["query.weight"] @ query + w["key.weight"] @ memory[n] + w["location.weight"] @ found
        )
        energies[n] = w["energy.weight"][0] @ np.tanh(hidden)
    return energies


def dot_energies(
    config: DotConfig, w: Parameters, query: Array, memory: Array, past: list[Array]
) -> Array:
    """φ(q) · ψ(h_n), both of some layers (Chan 2015)."""
    activation = {"linear": lambda x: x, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}

    def network(name: str, x: Array) -> Array:
        for layer in range(0, 2 * config.layers, 2):
            x = w[f"{name}.{layer}.weight"] @ x + w[f"{name}.{layer}.bias"]
            x = activation[config.activation](x)
        return x

    scale = np.sqrt(config.dim) if config.scaled else 1.0
    return np.array([network("query", query) @ network("key", h) / scale for h in memory])


def middle(alignment: Array) -> int:
    """The smallest n up to which half of the weight lies; 0 where there is none."""
    reached = [n for n in range(len(alignment)) if alignment[: n + 1].sum() >= 0.5 - 1e-9]
    return reached[0] if reached else 0


def distribution(energies: Array, previous: Array, reading: ReadingConfig) -> Array:
    """Energies of one item's own positions to weights."""
    kept = list(range(len(energies)))
    if reading.window is not None:
        kept = [n for n in kept if abs(n - middle(previous)) <= reading.window]
    if reading.keep_top is not None:
        least = sorted((energies[n] for n in kept), reverse=True)[: reading.keep_top][-1]
        kept = [n for n in kept if energies[n] >= least]
    sharp = reading.sharpening * energies[kept]
    powers = 1 / (1 + np.exp(-sharp)) if reading.smoothing else np.exp(sharp - sharp.max())
    weights = np.zeros(len(energies))
    weights[kept] = powers / powers.sum()
    return weights


def before_the_first(size: int, reading: ReadingConfig) -> Array:
    first = {"zeros": np.zeros, "one_hot": lambda n: np.eye(n)[0], "uniform": lambda n: 1 / n}
    return np.zeros(size) + first[reading.first](size)


def reference(
    mechanism: "Mechanism", parameters: Parameters, queries: Array, memory: Array
) -> tuple[Array, Array]:
    """Contexts (steps, memory_dim) and weights (steps, positions) of one item."""
    config = mechanism.config
    if isinstance(config, MultiHeadConfig):
        return several_heads(mechanism, parameters, queries, memory)
    if mechanism.weights is not None:
        return continued(mechanism, parameters, queries, memory)
    past = [before_the_first(len(memory), config.reading)]
    for query in queries:
        energies = mechanism.energies(config, parameters, query, memory, past)
        past.append(distribution(energies, past[-1], config.reading))
    return np.array(past[1:]) @ memory, np.array(past[1:])


def continued(
    mechanism: "Mechanism", w: Parameters, queries: Array, memory: Array
) -> tuple[Array, Array]:
    """Mechanisms whose first alignment is on position 0 where others have none."""
    option = mechanism.config.reading
    begun = "one_hot" if option.first == "zeros" else option.first
    first = before_the_first(len(memory), dataclasses.replace(option, first=begun))

    def read(energies: Array, previous: Array) -> Array:
        return distribution(energies, previous, option)

    weights = mechanism.weights(mechanism.config, w, queries, memory, first, read)
    return weights @ memory, weights


def several_heads(
    mechanism: "Mechanism", w: Parameters, queries: Array, memory: Array
) -> tuple[Array, Array]:
    config = mechanism.config
    head = Mechanism("", reading(config.head, config.reading), mechanism.energies)
    values = (memory @ w["values.weight"].T + w["values.bias"]).reshape(
        len(memory), config.heads, -1
    )
    contexts, weights = [], []
    for i in range(config.heads):
        own = {
            n.removeprefix(f"heads.{i}."): p for n, p in w.items() if n.startswith(f"heads.{i}.")
        }
        weights.append(reference(head, own, queries, memory)[1])
        contexts.append(weights[-1] @ values[:, i])
    joined = np.concatenate(contexts, axis=1)
    return joined @ w["context.weight"].T + w["context.bias"], np.mean(weights, axis=0)


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """A mechanism under the contract: its numbers, and its energies (or a head's) in NumPy."""

    name: str
    config: AttentionConfig
    energies: Energies = content_energies
    weights: Callable | None = None  # those of all steps, where energies alone do not make them

    def takes(self, reading: ReadingConfig) -> bool:
        """True if the mechanism can be read in this way."""
        return reading.is_plain or not isinstance(self.config, StepwiseMonotonicConfig)


LOCATION = LocationSensitiveConfig(dim=5, filters=3, kernel=5)
PREVIOUS = LocationSensitiveConfig(dim=5, filters=3, kernel=5, history="previous")
WIDE = LocationSensitiveConfig(dim=5, filters=3, kernel=41, history="previous")
CONVOLUTION = DynamicConvolutionConfig(
    dim=5, static_filters=2, static_kernel=3, dynamic_filters=3, dynamic_kernel=5, prior_length=4
)
FORWARD = ForwardConfig(dim=5, filters=3, kernel=5)
AGENT = ForwardConfig(dim=5, filters=3, kernel=5, transition_agent=True)
MECHANISMS = [
    Mechanism("content", ContentConfig(dim=5), content_energies),
    Mechanism("location", LOCATION, location_energies),
    Mechanism("location, previous", PREVIOUS, location_energies),
    Mechanism("location, wide", WIDE, location_energies),
    Mechanism("dot", DotConfig(dim=5), dot_energies),
    Mechanism("dot, plain", DotConfig(dim=5, activation="linear", scaled=True), dot_energies),
    Mechanism("dot, deep", DotConfig(dim=5, layers=2, activation="relu"), dot_energies),
    Mechanism("gmm", GMMConfig(dim=5, mixtures=2), weights=gmm_weights),
    Mechanism("gmm, graves", GMMConfig(dim=5, version="graves"), weights=gmm_weights),
    Mechanism("dynamic convolution", CONVOLUTION, weights=convolution_weights),
    Mechanism("forward", FORWARD, weights=forward_weights),
    Mechanism("forward, agent", AGENT, weights=forward_weights),
    Mechanism("stepwise", StepwiseMonotonicConfig(dim=5, noise=0.0), weights=stepwise_weights),
    Mechanism("heads of dot", MultiHeadConfig(heads=2, head=DotConfig(dim=5)), dot_energies),
    Mechanism("heads of location", MultiHeadConfig(heads=3, head=LOCATION), location_energies),
]

READINGS = [
    ReadingConfig(
        sharpening=sharpening,
        smoothing=smoothing,
        keep_top=keep_top,
        window=window,
        first=first,
        through_previous=through,
    )
    for sharpening, smoothing, keep_top, window, first, through in itertools.product(
        (1.0, 2.5),
        (False, True),
        (None, 2),
        (None, 1),
        ("zeros", "one_hot", "uniform"),
        (True, False),
    )
]


def reading(config: AttentionConfig, reading: ReadingConfig) -> AttentionConfig:
    """The same mechanism, read in another way."""
    return dataclasses.replace(config, reading=reading)


def shown(reading: ReadingConfig) -> str:
    """Name the settings of a reading that differ from the defaults, as the id of a test."""
    changed = {
        field.name: value
        for field in dataclasses.fields(reading)
        if (value := getattr(reading, field.name)) != field.default
    }
    return ",".join(f"{name}={value}" for name, value in changed.items()) or "plain"


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (steps, batch, query_dim), memory and its mask."""
    mask = length_mask(LENGTHS, int(LENGTHS.max()) + 2)
    queries = torch.randn(STEPS, len(LENGTHS), QUERY, dtype=dtype)
    return queries, torch.randn(*mask.shape, MEMORY, dtype=dtype), mask


def run(module: nn.Module, queries: Tensor, state) -> tuple[Tensor, Tensor, tuple]:
    """Contexts and weights of all steps, and the last state."""
    contexts, weights = [], []
    for query in queries:
        context, weight, state = module(query, state)
        contexts.append(context)
        weights.append(weight)
    return torch.stack(contexts, 1), torch.stack(weights, 1), state


def tensors(state: object) -> list[Tensor]:
    """Every tensor of a state, whatever its depth."""
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in tensors(part)]
