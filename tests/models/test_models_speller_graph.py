"""A search's step from emulated CUDA graphs, is the step that torch's operations make."""

import dataclasses

import pytest
import torch
from capturable import Captured
from test_models_speller_kernel import LENGTHS, MEMORY, MOVES, SYMBOLS, memory, speller
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from speechseq.models.backends import speller_cpp
from speechseq.models.speller import Speller
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.rows import regroup_rows
from speechseq.ops.cuda_graph import graph_cache

ATTENTIONS = {
    "location": LocationSensitiveConfig(dim=6, filters=3, kernel=5),
    "heads": MultiHeadConfig(heads=2, head=ContentConfig(dim=5)),
}
each = pytest.mark.parametrize("name", ATTENTIONS)


@pytest.fixture(autouse=True)
def _by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speller_cpp, "supported", lambda *_: False)
    monkeypatch.delenv("SPEECHSEQ_CUDA_GRAPHS", raising=False)


@torch.inference_mode()
def searched(model: Speller) -> list[Tensor]:
    """All that the steps of a search make, whose hypotheses grow and whose utterances end."""
    speller, outputs = model.prepare(), []
    state = speller.start(*memory())
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(4, SYMBOLS, (len(LENGTHS),), generator=generator)
    for parents, staying in MOVES:
        spelled = speller.step(tokens, state)
        outputs += tree_leaves(spelled)
        rows, going = torch.tensor(parents), None if staying is None else torch.tensor(staying)
        state = regroup_rows(spelled.state, rows, going)
        tokens = torch.randint(4, SYMBOLS, (len(parents),), generator=generator)
    return outputs


def check_same(model: Speller) -> None:
    expected = searched(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
        for _ in range(3):
            for ours, torchs in zip(searched(model), expected, strict=True):
                torch.testing.assert_close(ours, torchs)


def recorded(model: Speller) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
        graphs = graph_cache(model, torch.device("cpu"))
    assert graphs is not None
    return len(graphs.replays)


@each
def test_searches_make_the_same(name):
    model = speller(attention=ATTENTIONS[name])
    check_same(model)
    assert recorded(model) > 0


def test_a_graph_serves_all_numbers_of_utterances_up_to_a_power_of_two(monkeypatch):
    model = speller(attention=ATTENTIONS["location"])
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
    with torch.inference_mode():
        one = model.prepare()  # chooses the way that all steps go
        for _ in range(2):
            for lengths in ((9, 9, 9), (9, 9, 9, 9)):
                heard = memory(lengths)
                one.step(torch.arange(4, 4 + len(lengths)), one.start(*heard))
    assert recorded(model) == 1


def test_another_reading_and_other_weights_are_not_the_recorded_ones():
    model = speller(attention=ATTENTIONS["location"])
    check_same(model)
    model.core.attention.reading = ReadingConfig(sharpening=3.0)
    check_same(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.7)
    check_same(model)


def test_training_and_who_wants_a_gradient_go_step_by_step(monkeypatch):
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
    model = speller(attention=ATTENTIONS["location"])
    for _ in range(3):
        spelled = model.step(torch.tensor([4, 5, 6]), model.start(*memory()))
        spelled.log_probs.sum().backward()
    with torch.no_grad():
        for _ in range(3):
            model.train().step(torch.tensor([4, 5, 6]), model.start(*memory()))
    assert recorded(model) == 0


@each
@torch.no_grad()
def test_a_step_neither_waits_nor_draws_nor_meets_the_host(name):
    config = dataclasses.replace(speller().config, attention=ATTENTIONS[name])
    with FakeTensorMode(), torch.device("cuda", 0):
        model = Speller(SYMBOLS, MEMORY, config).eval()
        state = model.start(torch.randn(2, 9, MEMORY), torch.ones(2, 9, dtype=torch.bool))
        weights, tokens = model.weights(), torch.ones(2, dtype=torch.long)
        with Captured("cuda") as captured:
            model.step(tokens, state, weights)
    assert captured.launches > 0
