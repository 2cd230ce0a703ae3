"""The three scores of an alignment, on matrices whose scores are known."""

import pytest
import torch

from speechseq.nn.attention.diagnostics import accuracy, coverage, focus, monotonicity


def scores(matrix: torch.Tensor) -> tuple[float, float, float]:
    steps, positions = (torch.tensor([size]) for size in matrix.shape)
    alignment = matrix[None]
    return (
        focus(alignment, steps).item(),
        coverage(alignment, steps, positions).item(),
        monotonicity(alignment, steps).item(),
    )


def stuck(steps: int, positions: int, at: int = 2) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.full((steps,), at), positions).float()


KNOWN = {
    "diagonal": (torch.eye(8), (1.0, 1.0, 1.0)),
    "slow diagonal": (torch.eye(6).repeat_interleave(4, 0), (1.0, 1.0, 1.0)),
    "uniform": (torch.full((12, 8), 1 / 8), (1 / 8, 1.0, 1.0)),
    "reversed": (torch.eye(8).flip(0), (1.0, 1.0, 0.0)),
    "stuck": (stuck(12, 8), (1.0, 1 / 8, 1.0)),
    "skips half": (torch.eye(8)[[0, 1, 2, 3, 3, 3]], (1.0, 0.5, 1.0)),
    "one step back in four": (torch.eye(4)[[0, 1, 0, 2, 3]], (1.0, 1.0, 0.75)),
    "a single step": (torch.tensor([[0.5, 0.5]]), (0.5, 1.0, 1.0)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_scores_of_known_matrices(name: str) -> None:
    matrix, expected = KNOWN[name]
    assert scores(matrix) == pytest.approx(expected)


def test_fewer_steps_than_positions_can_still_cover_everything() -> None:
    pairs = torch.eye(8).reshape(4, 2, 8).mean(1)  # each step reads two symbols
    assert scores(pairs)[1] == 1.0


def test_coverage_threshold_is_a_share_of_one_step() -> None:
    matrix = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.75, 0.25]])  # the second gathers 0.55
    lengths = torch.tensor([3]), torch.tensor([2])
    assert coverage(matrix[None], *lengths, threshold=0.5).item() == 1.0
    assert coverage(matrix[None], *lengths, threshold=0.6).item() == 0.5


@pytest.mark.parametrize("padding", [0.0, 1e4, float("nan")])
def test_padding_changes_nothing(padding: float) -> None:
    torch.manual_seed(3)
    shapes = [(7, 5), (4, 3), (1, 2)]
    items = [torch.rand(shape).softmax(1) for shape in shapes]
    batch = torch.full((3, 9, 6), padding)
    for row, item in enumerate(items):
        # weights on padded positions of a real step are exactly 0
        batch[row, : item.shape[0]] = 0.0
        batch[row, : item.shape[0], : item.shape[1]] = item
    steps, positions = torch.tensor(shapes).T
    together = (
        focus(batch, steps),
        coverage(batch, steps, positions),
        monotonicity(batch, steps),
    )
    for row, item in enumerate(items):
        assert tuple(score[row].item() for score in together) == pytest.approx(scores(item))


def test_accuracy_counts_frames_near_the_true_position():
    """Steps of two frames attend positions 0, 2, 2; the third frame of five is two away."""
    alignment = torch.eye(4)[[0, 2, 2]][None]
    truth = torch.tensor([[0, 1, 0, 2, 3, 9]])
    lengths = torch.tensor([5])
    assert accuracy(alignment, truth, lengths, 2).tolist() == pytest.approx([4 / 5])
    assert accuracy(alignment, truth, lengths, 2, tolerance=0).tolist() == pytest.approx([2 / 5])
    assert accuracy(alignment, truth, torch.tensor([6]), 2).tolist() == pytest.approx([4 / 6])
