"""Checks that a saved state fits a run, before any of it is loaded.

Fused optimizers read and write their moments by address, and assume the parameters' shapes and
strides; random number generators assume valid positions. Therefore every value is checked here.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from speechseq.ranges import Range, shown
from speechseq.training.resume import ResumeState

_TALLY = ("update", "skipped", "seconds", "best", "best_update")
_MOMENTS = ("exp_avg", "exp_avg_sq")
_WORDS = 624  # of the state of a Mersenne twister
_WORD = Range(0, 2**32 - 1)


def check_state(state: ResumeState, parameters: Mapping[str, Tensor], update: int) -> None:
    """Check that a saved state fits the run that resumes from it, before any of it is loaded.

    Args:
        state: content of a checkpoint's `resume.pt`.
        parameters: the model's parameters by name, in the optimizer's order.
        update: number of the checkpoint's update.

    Raises:
        ValueError: the state does not fit; the message says why.
    """
    _check_tally(state.tally, update)
    _check_random_state(state.random_state)
    if state.own_weights is not None:
        own = {name: p for name, p in parameters.items() if p.is_floating_point()}
        _check_names("own_weights", state.own_weights, own)
        for name, value in state.own_weights.items():
            _check_like(f"own_weights: {name}", value, own[name])
    _check_optimizer(state, parameters, update - state.tally["skipped"])


def _check_optimizer(state: ResumeState, parameters: Mapping[str, Tensor], applied: int) -> None:
    names, moments = list(parameters), state.optimizer
    _require(isinstance(moments, dict), "optimizer: is no mapping")
    for index in moments:
        known = type(index) is int and 0 <= index < len(names)
        _require(known, f"optimizer: {shown(index)} is no parameter of the model")
    trained = any(parameter.requires_grad for parameter in parameters.values())
    _require(bool(moments) or not (applied and trained), "optimizer: has no state in mid-run")
    if state.parameters is not None:
        saved = {names[index] for index in moments}
        _check_names("optimizer", dict.fromkeys(saved), dict.fromkeys(state.parameters))
    storages = []
    for index, entry in moments.items():
        where = f"optimizer: {names[index]}"
        _check_names(where, entry, dict.fromkeys(("step", *_MOMENTS)))
        _check_step(f"{where}: step", entry["step"], applied)
        for name in _MOMENTS:
            _check_like(f"{where}: {name}", entry[name], parameters[names[index]])
            storages.append(entry[name].untyped_storage())
        negative = bool((entry["exp_avg_sq"] < 0).any())
        _require(not negative, f"{where}: exp_avg_sq: a mean of squares is negative")
    distinct = {storage.data_ptr() for storage in storages if storage.nbytes()}
    full = [storage for storage in storages if storage.nbytes()]
    _require(len(distinct) == len(full), "optimizer: two moments share their memory")


def _check_step(where: str, step: Any, applied: int) -> None:
    scalar = isinstance(step, Tensor) and step.layout == torch.strided and step.ndim == 0
    _require(scalar and step.dtype == torch.float32, f"{where}: is no float32 scalar")
    value = float(step)
    whole = math.isfinite(value) and value == int(value)
    _require(whole and 1 <= value <= max(applied, 1), f"{where}: {value:g} of {applied} updates")


def _check_like(where: str, value: Any, parameter: Tensor) -> None:
    """Require a dense, finite tensor with the parameter's shape, strides and dtype."""
    plain = type(value) is Tensor and value.layout == torch.strided and value.device.type == "cpu"
    _require(plain, f"{where}: is no dense tensor")
    for name in ("shape", "dtype"):
        found, expected = getattr(value, name), getattr(parameter, name)
        _require(found == expected, f"{where}: {name} {found}, the model has {expected}")
    strides = value.stride(), parameter.stride()
    _require(strides[0] == strides[1], f"{where}: strides {strides[0]}, the model has {strides[1]}")
    _require(bool(value.isfinite().all()), f"{where}: holds NaN or Inf")


def _check_names(where: str, found: Any, expected: Mapping[str, Any]) -> None:
    _require(isinstance(found, dict), f"{where}: is no mapping")
    for name in found:
        _require(name in expected, f"{where}: {shown(name)} is unknown")
    for name in expected:
        _require(name in found, f"{where}: {name} is missing")


def _check_tally(tally: Any, update: int) -> None:
    _check_names("tally", tally, dict.fromkeys(_TALLY))
    _require(type(tally["update"]) is int and tally["update"] == update, "tally: update is another")
    _check_number("tally: skipped", tally["skipped"], Range(0, update), int)
    _check_number("tally: seconds", tally["seconds"], Range(0, 1e12), int, float)
    if tally["best"] is not None:
        _check_number("tally: best", tally["best"], Range(-1e300, 1e300), int, float)
    if tally["best_update"] is not None:
        _check_number("tally: best_update", tally["best_update"], Range(0, update), int)


def _check_random_state(state: Any) -> None:
    _check_names("random_state", state, dict.fromkeys(("torch", "cuda", "numpy", "python")))
    _check_bytes("random_state: torch", state["torch"], len(torch.get_rng_state()))
    _require(isinstance(state["cuda"], list), "random_state: cuda: is no list")
    for value in state["cuda"]:
        _check_bytes("random_state: cuda", value, 16)
    _check_twister("numpy", state["numpy"], ("MT19937", _WORDS, int, int, float))
    _check_twister("python", state["python"], (3, _WORDS + 1, float))


def _check_twister(name: str, state: Any, form: tuple) -> None:
    """Check the state of a Mersenne twister: version, words, position and the spare Gaussian.

    NumPy has the position in a separate field, Python in the last word.
    """
    where = f"random_state: {name}"
    listed = isinstance(state, (list, tuple)) and len(state) == len(form)
    _require(listed and state[0] == form[0], f"{where}: is of another form")
    words = state[1]
    _require(isinstance(words, (list, tuple)) and len(words) == form[1], f"{where}: is cut")
    for word in words:
        _check_number(where, word, _WORD, int)
    place = words[-1] if name == "python" else state[2]
    _check_number(f"{where}: position", place, Range(0, _WORDS), int)
    if name == "numpy":
        _check_number(f"{where}: spare", state[3], Range(0, 1), int)
    if state[-1] is not None:
        _check_number(f"{where}: spare", state[-1], Range(-100, 100), int, float)


def _check_bytes(where: str, value: Any, size: int) -> None:
    plain = type(value) is Tensor and value.layout == torch.strided and value.device.type == "cpu"
    plain = plain and value.dtype == torch.uint8 and value.shape == (size,)
    _require(plain and value.is_contiguous(), f"{where}: is not of {size} bytes")


def _check_number(where: str, value: Any, limit: Range, *types: type) -> None:
    _require(type(value) in types and value in limit, f"{where}: {shown(value)} is out of range")


def _require(fits: bool, problem: str) -> None:
    if not fits:
        raise ValueError(problem)
