import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn
from toy_run import Toy, ToyBatch, ToyBatches, ToyConfig, toy_loss

from speechseq.training.train_step import Report, TrainStep


def plain_toy() -> Toy:
    """Build a model without dropout and batch statistics, so that batches may be split anywhere."""
    torch.manual_seed(0)
    return Toy(ToyConfig(dropout=0.0, norm=False)).double()


def in_double(batch: ToyBatch) -> ToyBatch:
    return dataclasses.replace(batch, x=batch.x.double(), y=batch.y.double())


def joined(batches: list[ToyBatch]) -> ToyBatch:
    return ToyBatch(torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches]))


def step_of(model: nn.Module, *, clip: float | None = None, bf16: bool = False) -> TrainStep:
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    return TrainStep(model, toy_loss, sgd, clip_norm=clip, bf16=bf16, device=torch.device("cpu"))


def steps(model: nn.Module, batches: list[ToyBatch], **numbers: float | None) -> dict[str, Tensor]:
    """Return how far an update of SGD moves each parameter, which is its gradient."""
    moved = copy.deepcopy(model)
    step_of(moved, **numbers)(batches, 1)  # type: ignore[arg-type]
    pairs = zip(model.named_parameters(), moved.parameters(), strict=True)
    return {name: (before - after).detach() for (name, before), after in pairs}


def length(tensors: dict[str, Tensor]) -> float:
    return float(torch.cat([t.flatten() for t in tensors.values()]).norm())


@pytest.mark.parametrize("clip", [None, 0.5])
def test_two_batches_accumulated_are_the_one_that_holds_both(clip: float | None) -> None:
    small, large = map(in_double, [ToyBatches().items[0], ToyBatches().items[3]])
    assert small.weight != large.weight
    model = plain_toy()
    apart = steps(model, [small, large], clip=clip)
    together = steps(model, [joined([small, large])], clip=clip)
    for name, step in together.items():
        torch.testing.assert_close(apart[name], step, rtol=1e-12, atol=1e-12)


def test_trap_28_a_mean_of_means_is_another_gradient() -> None:
    small, large = map(in_double, [ToyBatches().items[0], ToyBatches().items[3]])
    model = plain_toy()
    ours = steps(model, [small, large])
    first, second = steps(model, [small]), steps(model, [large])
    mean_of_means = {name: (first[name] + second[name]) / 2 for name in first}
    weights = [b.weight / (small.weight + large.weight) for b in (small, large)]
    by_count = {n: weights[0] * first[n] + weights[1] * second[n] for n in first}
    assert length({n: ours[n] - mean_of_means[n] for n in ours}) > 0.01 * length(ours)
    assert length({n: ours[n] - by_count[n] for n in ours}) < 1e-12


def test_the_reported_losses_are_those_of_all_valid_items() -> None:
    batches = [in_double(b) for b in ToyBatches().items[:3]]
    model = plain_toy()
    whole = toy_loss(model(joined(batches)), joined(batches), update=1)
    report = step_of(model)(batches, 1)
    assert report.weight == sum(b.weight for b in batches)
    assert float(report.terms["total"]) == pytest.approx(whole.total.item(), rel=1e-6)
    assert float(report.terms["square"]) == pytest.approx(whole.terms["square"].item(), rel=1e-6)


def test_clipping_shortens_the_whole_gradient_and_keeps_its_direction() -> None:
    batch, model = in_double(ToyBatches().items[0]), plain_toy()
    free = steps(model, [batch])
    clipped = steps(model, [batch], clip=0.1)
    assert length(free) > 1
    assert length(clipped) == pytest.approx(0.1, rel=1e-4)
    for name in free:
        torch.testing.assert_close(
            clipped[name] / 0.1, free[name] / length(free), rtol=1e-4, atol=0
        )


def test_a_short_gradient_is_left_as_it_is() -> None:
    batch, model = in_double(ToyBatches().items[0]), plain_toy()
    free, clipped = steps(model, [batch]), steps(model, [batch], clip=1e6)
    assert all(torch.equal(free[name], clipped[name]) for name in free)


@pytest.mark.parametrize("bf16", [False, True])
def test_trap_27_the_norm_that_is_clipped_is_the_losss_own(bf16: bool) -> None:
    # a loss scaled for half precision, clipped before it is unscaled, would be cut by thousands
    batch = ToyBatches().items[0]
    model = plain_toy().float()
    expected = length(steps(model, [batch]))
    report = step_of(model, clip=0.1, bf16=bf16)([batch], 1)
    assert report.gradient_norm == pytest.approx(expected, rel=0.03 if bf16 else 1e-5)


def test_bf16_computes_in_bf16_and_keeps_weights_in_float32() -> None:
    seen = []

    class Watching(Toy):
        def forward(self, batch: ToyBatch) -> Tensor:
            seen.append(self.layers(batch.x).dtype)
            return super().forward(batch)

    model = Watching(ToyConfig())
    assert step_of(model, bf16=True)([ToyBatches().items[0]], 1).applied
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def poisoned(what: str) -> TrainStep:
    """A TrainStep of Adam with a first update behind it, in which `what` will not be finite."""
    torch.manual_seed(0)
    model = Toy(ToyConfig())
    adam = torch.optim.Adam(model.parameters(), fused=True)
    step = TrainStep(model, toy_loss, adam, clip_norm=1.0, bf16=False, device=torch.device("cpu"))
    step([ToyBatches().items[0]], 1)
    if what == "gradient":  # a finite loss, but the root has no slope at 0
        step.loss = lambda output, batch, *, update: dataclasses.replace(  # type: ignore[assignment]
            toy_loss(output, batch, update=update), total=(output * 0).sqrt().sum()
        )
    return step


@pytest.mark.parametrize("what", ["loss", "gradient", "input"])
def test_an_update_that_is_not_finite_leaves_everything_as_it_was(what: str) -> None:
    step = poisoned(what)
    healthy, other = ToyBatches().items[:2]
    ill = {
        "loss": dataclasses.replace(other, y=other.y * float("inf")),
        "input": dataclasses.replace(other, x=other.x * float("nan")),
        "gradient": other,
    }[what]
    before = copy.deepcopy((step.model.state_dict(), step.optimizer.state_dict()))
    report: Report = step([healthy, ill], 2)
    assert not report.applied
    assert "layers.1.running_mean" in before[0]  # a forward pass alone would have changed it
    for name, tensor in step.model.state_dict().items():
        assert torch.equal(tensor, before[0][name]), name
    for index, state in step.optimizer.state_dict()["state"].items():
        for name, tensor in state.items():
            assert torch.equal(tensor, before[1]["state"][index][name]), name
    step.loss = toy_loss  # type: ignore[assignment]
    assert step([healthy], 3).applied
