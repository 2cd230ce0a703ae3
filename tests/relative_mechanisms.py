"""Mechanisms that continue where they were, in plain NumPy: one item, one position at a time.

Each function gives the weights (steps, positions) of one item from the papers' formulas.
"""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray
Parameters = dict[str, Array]
Read = Callable[[Array, Array], Array]  # energies and previous weights of a step to weights


def softplus(x: Array) -> Array:
    return np.log1p(np.exp(x))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def gmm_weights(config, w: Parameters, queries: Array, memory: Array, first: Array, read: Read):
    """Gaussians whose means move on (Graves 2013; Battenberg 2020, table 1)."""
    means, past = np.zeros(config.mixtures), [first]
    for query in queries:
        hidden = np.tanh(w["hidden.weight"] @ query + w["hidden.bias"])
        a, b, c = np.split(w["mixture.weight"] @ hidden + w["mixture.bias"], 3)
        density = np.zeros(len(memory))
        if config.version == "graves":
            means = means + np.exp(b)
            for n, k in np.ndindex(len(memory), config.mixtures):
                density[n] += np.exp(a[k]) * np.exp(-np.exp(c[k]) * (n - means[k]) ** 2)
        else:
            means, width = means + softplus(b), softplus(c)
            share = np.exp(a) / np.exp(a).sum()
            for n, k in np.ndindex(len(memory), config.mixtures):
                z = np.sqrt(2 * np.pi * width[k] ** 2)
                density[n] += share[k] / z * np.exp(-((n - means[k]) ** 2) / (2 * width[k] ** 2))
        past.append(read(np.log(density), past[-1]))
    return np.array(past[1:])


def beta_binomial(n: int, alpha: float, beta: float) -> list[float]:
    """Probability of k successes of n, by the integral's closed form."""

    def b(x: float, y: float) -> float:
        return math.gamma(x) * math.gamma(y) / math.gamma(x + y)

    return [math.comb(n, k) * b(k + alpha, n - k + beta) / b(alpha, beta) for k in range(n + 1)]


def convolution_weights(
    config, w: Parameters, queries: Array, memory: Array, first: Array, read: Read
):
    """Static and dynamic filters of the previous weights, and a causal prior (Battenberg 2020)."""
    prior, past = beta_binomial(config.prior_length - 1, config.prior_alpha, config.prior_beta), []
    past.append(first)
    for query in queries:
        taps = w["dynamic.weight"] @ np.tanh(w["query.weight"] @ query + w["query.bias"])
        taps = taps.reshape(config.dynamic_filters, config.dynamic_kernel)
        energies = np.empty(len(memory))
        for n in range(len(memory)):
            static = around(past[-1], n, config.static_kernel)
            dynamic = around(past[-1], n, config.dynamic_kernel)
            layer = w["static_location.weight"] @ (w["static.weight"][:, 0] @ static)
            layer = layer + w["dynamic_location.weight"] @ (taps @ dynamic)
            layer = np.tanh(layer + w["dynamic_location.bias"])
            moved = sum(p * past[-1][n - k] for k, p in enumerate(prior) if k <= n)
            energies[n] = w["energy.weight"][0] @ layer + np.log(max(moved, 1e-6))
        past.append(read(energies, past[-1]))
    return np.array(past[1:])


def around(weights: Array, position: int, kernel: int) -> Array:
    """The weights of the kernel's width around a position, 0 outside."""
    inside = range(len(weights))
    places = range(position - kernel // 2, position + kernel // 2 + 1)
    return np.array([weights[n] if n in inside else 0.0 for n in places])


def forward_weights(config, w: Parameters, queries: Array, memory: Array, first: Array, read: Read):
    """Stay or move on, times the energies' exponentials (Zhang 2018, algorithms 1 and 2)."""
    move, past, total = 0.5, [first], np.zeros(len(memory))
    for query in queries:
        paths = np.empty(len(memory))
        for n in range(len(memory)):
            heard = [around(x, n, config.kernel) for x in (past[-1], total)]
            found = np.tensordot(w["filters.weight"], heard)
            hidden = w["query.weight"] @ query + w["key.weight"] @ memory[n]
            hidden = np.tanh(hidden + w["location.weight"] @ found)
            before = past[-1][n - 1] if n else 0.0
            arriving = (1 - move) * past[-1][n] + move * before
            paths[n] = w["energy.weight"][0] @ hidden
            paths[n] += np.log(arriving) if arriving else -math.inf
        past.append(read(paths, past[-1]))
        total = total + past[-1]
        if config.transition_agent:
            context = past[-1] @ memory
            known = np.concatenate([context, query])
            move = sigmoid(w["transition.weight"][0] @ known + w["transition.bias"][0])
    return np.array(past[1:])


def stepwise_weights(
    config, w: Parameters, queries: Array, memory: Array, first: Array, read: Read
):
    """Expected weights of staying or moving on by one (He 2019, equation 8)."""
    past, last = [first], len(memory) - 1
    for query in queries:
        hidden = [np.tanh(w["query.weight"] @ query + w["key.weight"] @ h) for h in memory]
        energies = np.array([w["energy.weight"][0] @ h for h in hidden]) + w["stay"]
        p = sigmoid(config.reading.sharpening * energies)
        p[last] = 1.0
        weights = np.empty(len(memory))
        for n in range(len(memory)):
            weights[n] = p[n] * past[-1][n] + ((1 - p[n - 1]) * past[-1][n - 1] if n else 0.0)
        past.append(weights)
    return np.array(past[1:])
