"""Re-ordering the rows of nested states, without copying what no step has changed.

A memory and its keys are large, the same for all hypotheses of an utterance, and never changed by a
step. They are told apart without asking the model: a tensor that is still the very one that stood
in the state at its start has been changed by no step.
"""

from typing import Any, NamedTuple

from torch import Tensor


class Carried(NamedTuple):
    """A nested tuple of tensors whose first axis is rows, and what stood in it at its start."""

    state: Any
    start: Any

    @staticmethod
    def fresh(state: Any) -> "Carried":
        """A state that no step has changed."""
        return Carried(state, state)

    def stepped(self, state: Any) -> "Carried":
        """The state after a step."""
        return Carried(state, self.start)

    def within(self, rows: Tensor) -> "Carried":
        """Row i becomes row `rows[i]` of the same utterance; there are as many rows as before."""
        return Carried(_moved(self.state, self.start, rows), self.start)

    def select(self, rows: Tensor) -> "Carried":
        """Any rows, any number of them: all is copied."""
        return Carried(*_chosen(self.state, self.start, rows))


def _moved(state: Any, start: Any, rows: Tensor) -> Any:
    if isinstance(state, Tensor):
        return state if state is start else state.index_select(0, rows)
    parts = zip(state, start, strict=True)
    return _like(state, [_moved(part, first, rows) for part, first in parts])


def _chosen(state: Any, start: Any, rows: Tensor) -> tuple[Any, Any]:
    if isinstance(state, Tensor):
        chosen = state.index_select(0, rows)
        return chosen, chosen if state is start else start
    pairs = [_chosen(part, first, rows) for part, first in zip(state, start, strict=True)]
    return _like(state, [one for one, _ in pairs]), _like(start, [other for _, other in pairs])


def _like(state: Any, parts: list[Any]) -> Any:
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
