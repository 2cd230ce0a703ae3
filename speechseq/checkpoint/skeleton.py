"""Compares a model with its weights before memory is allocated for the model."""

from collections.abc import Mapping

from torch import Tensor


def differences(weights: Mapping[str, Tensor], skeleton: Mapping[str, Tensor]) -> str:
    """Describe how a checkpoint's tensors differ from a model's in name, shape or dtype.

    Args:
        weights: the checkpoint's tensors by name.
        skeleton: state dict of the model, built on the device "meta", so that it needs no memory.

    Returns:
        A text for an error message; "" if there is no difference.
    """
    wrong = [f"missing {name}" for name in sorted(skeleton.keys() - weights.keys())]
    wrong += [f"unexpected {name}" for name in sorted(weights.keys() - skeleton.keys())]
    wrong += [
        f"{name} is {_described(weights[name])}, expected {_described(expected)}"
        for name, expected in skeleton.items()
        if name in weights and _described(weights[name]) != _described(expected)
    ]
    more = f"; and {len(wrong) - 6} more" if len(wrong) > 6 else ""
    return "; ".join(wrong[:6]) + more


def _described(tensor: Tensor) -> str:
    """Shape of a tensor, and its dtype unless floating-point: any float precision is accepted."""
    shape = str(tuple(tensor.shape))
    return shape if tensor.is_floating_point() else f"{shape} of {tensor.dtype}"
