"""Modules are called, not read, wherever a call does more: hooks, adapters, weights made anew."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import torch
from tiny_tacotron import TINY, tiny_batch, tiny_model
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from speechseq.batch import ASRBatch, TextBatch
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.recognise import recognise
from speechseq.models.language_model import LanguageModelConfig
from speechseq.models.las import LASConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import SpellerConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.forward import ForwardConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.stepwise_monotonic import StepwiseMonotonicConfig
from speechseq.nn.cells import SplitCell

MECHANISMS = {
    "content": ContentConfig(dim=6),
    "location_sensitive": LocationSensitiveConfig(dim=6, filters=3, kernel=5),
    "dot": DotConfig(dim=6),
    "multi_head": MultiHeadConfig(heads=2, head=ContentConfig(dim=6)),
    "gmm": GMMConfig(dim=6),
    "dynamic_convolution": DynamicConvolutionConfig(dim=6),
}
MONOTONIC = {
    "forward": ForwardConfig(dim=6, filters=3, kernel=5, transition_agent=True),
    "stepwise_monotonic": StepwiseMonotonicConfig(dim=6),
}
SPEAKERS = [
    "tacotron1",
    "tacotron2",
    "tacotron1 location_sensitive",
    "tacotron2 dot",
    "tacotron2 multi_head",
    *("tacotron2 gmm", "tacotron2 dynamic_convolution", "tacotron2 forward"),
    "tacotron2 zoneout",
]
READERS = [f"las {name}" for name in MECHANISMS]
SHORT = LimitConfig(tokens_per_position=0.0, at_least=3)
HEARD = ASRBatch(
    features=torch.randn(2, 70, 6, generator=torch.Generator().manual_seed(0)),
    feature_lengths=torch.tensor([70, 49]),
    tokens=torch.tensor([[4, 5, 6, 1], [6, 1, 0, 0]]),
    token_lengths=torch.tensor([4, 2]),
)


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    kind, _, what = name.partition(" ")
    if kind == "las":
        speller = SpellerConfig(
            embedding=4, layers=2, hidden=7, attention=MECHANISMS[what], output=5, dropout=0.1
        )
        listener = ListenerConfig(convolutions=(2,), hidden=5, pyramid_layers=1)
        return LASConfig(listener=listener, speller=speller, ctc=True).build(9, 6)
    if kind == "language":
        return LanguageModelConfig(embedding=4, hidden=5, layers=2, tied=bool(what)).build(9)
    mechanisms = MECHANISMS | MONOTONIC
    numbers = {"attention": mechanisms[what]} if what in mechanisms else {}
    zoneout = {"attention_rnn_zoneout": 0.1} if what == "zoneout" else {}
    model = tiny_model(TINY[kind](attention_end_steps=999, **numbers, **zoneout))
    nn.init.constant_(model.decoder.stop.bias, -9.0)
    return model


def forward(model: nn.Module, train: bool) -> list[Tensor]:
    torch.manual_seed(1)
    model.train(train)
    if hasattr(model, "generate"):
        batch = tiny_batch((9, 8, 7), (24, 22, 20))  # rows enough for the kernel of dense products
    elif hasattr(model, "speller"):
        batch = HEARD
    else:
        batch = TextBatch(tokens=HEARD.tokens, token_lengths=HEARD.token_lengths)
    output = model(batch)
    values = output if isinstance(output, tuple) else vars(output).values()
    return [x for x in values if isinstance(x, Tensor) and x.is_floating_point()]


def use(model: nn.Module) -> list[Tensor]:
    """Free-running, greedy and beam."""
    if hasattr(model, "generate"):
        speech = model.generate(torch.tensor([[1, 2, 3]]), torch.tensor([3]), seed=1, max_steps=5)
        return [speech.mel_after, speech.alignment]
    found = []
    for way in (Greedy(limit=SHORT), Beam(size=2, limit=SHORT)):
        for rows in recognise(model, HEARD.features, HEARD.feature_lengths, way):
            found += [torch.tensor([*row.ids, row.log_prob]) for row in rows]
    return found


def same(actual: list[Tensor], wanted: list[Tensor]) -> None:
    assert len(actual) == len(wanted)
    for one, other in zip(actual, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def called_parts(model: nn.Module) -> dict[str, nn.Module]:
    """Everything that is called: no lists of modules, and nothing that only holds others."""
    return {n: m for n, m in model.named_modules() if n and not isinstance(m, nn.ModuleList)}


@contextlib.contextmanager
def hooked(parts: dict[str, nn.Module], *ways: str) -> Iterator[Counter]:
    """Counts the calls of hooks by their way and the module's name."""
    calls: Counter = Counter()
    hooks = [
        getattr(part, f"register_{way}")(lambda *_, what=(way, name): calls.update([what]))
        for name, part in parts.items()
        for way in ways
    ]
    yield calls
    for hook in hooks:
        hook.remove()


@pytest.mark.filterwarnings("ignore:Full backward hook")
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", [*SPEAKERS, *READERS, "language", "language tied"])
def test_hooks_of_every_module_run_and_change_nothing(name: str, train: bool) -> None:
    wanted = forward(built(name), train)
    model = built(name)  # as new: in training, running statistics move
    parts = called_parts(model)
    ways = "forward_pre_hook", "forward_hook", "full_backward_hook"
    with hooked(parts, *ways) as calls:
        outputs = forward(model, train)
        sum(x.sin().sum() for x in outputs).backward()
    same(outputs, wanted)
    learn = {n for n, part in parts.items() if any(p.requires_grad for p in part.parameters())}
    assert not {(way, n) for way in ways[:2] for n in parts} - set(calls)
    assert not {(ways[2], n) for n in learn} - set(calls)


@pytest.mark.parametrize("name", [*SPEAKERS, "tacotron2 stepwise_monotonic", *READERS])
def test_hooks_run_in_free_running_and_in_searches(name: str) -> None:
    model = built(name).eval()
    wanted = use(model)
    inner = getattr(model, "decoder", None) or model.speller
    containers = ("core", "stack")  # that a step does not call: it calls their parts
    parts = {n: m for n, m in called_parts(inner).items() if n not in containers}
    parts = {n: m for n, m in parts.items() if not n.endswith("attention.heads")}
    with hooked(parts, "forward_hook") as calls:
        same(use(model), wanted)
    assert not {("forward_hook", n) for n in parts} - set(calls)
    same(use(model), wanted)


def test_a_hook_may_change_what_a_module_gives() -> None:
    for name in ("tacotron2", "las location_sensitive"):
        model = built(name)
        wanted = forward(model, False)
        hook = (getattr(model, "decoder", None) or model.speller).core.cell.register_forward_hook(
            lambda _, given, state: state._replace(hidden=state.hidden * 0)
        )
        assert not torch.allclose(forward(model, False)[0], wanted[0], atol=1e-4)
        hook.remove()
        same(forward(model, False), wanted)


def test_global_hooks_run() -> None:
    model, calls = built("tacotron2"), Counter()
    hook = nn.modules.module.register_module_forward_hook(lambda m, *_: calls.update([type(m)]))
    forward(model, False)
    use(model)
    hook.remove()
    assert calls[nn.Linear] > 100
    assert {type(m) for m in model.modules() if m is not model} - set(calls) <= {nn.ModuleList}


class LoRA(nn.Module):
    """An adapter around a layer, which has no weight of its own to be read."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.calls = layer, 0
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x) * (1 + self.scale)


def adapted(model: nn.Module) -> dict[str, LoRA]:
    """Wrap every layer of torch's own that takes and gives one tensor."""
    kinds, adapters = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding), {}
    for path in [n for n, m in model.named_modules() if isinstance(m, kinds)]:
        place, _, own = path.rpartition(".")
        adapters[path] = LoRA(model.get_submodule(path))
        setattr(model.get_submodule(place), own, adapters[path])
    return adapters


@pytest.mark.parametrize("name", [*SPEAKERS, *READERS, "language", "language tied"])
def test_adapters_around_layers_change_what_comes_out_and_learn(name: str) -> None:
    model = built(name)
    wanted = forward(model, False)
    adapters = adapted(model)
    outputs = forward(model, False)
    assert not torch.allclose(outputs[0], wanted[0], atol=1e-3)
    sum(x.sin().sum() for x in outputs).backward()
    for path, adapter in adapters.items():  # a gradient means that what comes out depends on it
        assert adapter.scale.grad is not None, path
        assert adapter.scale.grad.abs() > 0, path
        adapter.calls = 0
    if "language" not in name:
        use(model)
        unused = {path for path, adapter in adapters.items() if not adapter.calls}
        assert unused <= {"ctc"}


def masked(layer: nn.Module, name: str) -> None:
    prune.custom_from_mask(layer, name, (getattr(layer, name) * 1e4).long() % 2 == 0)


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1.1 * x


REMADE: dict[str, Callable[[nn.Module, str], object]] = {
    "prune": masked,
    "weight_norm": lambda layer, name: weight_norm(layer, name),
    "spectral_norm": lambda layer, name: spectral_norm(layer, name),
    "parametrize": lambda layer, name: parametrize.register_parametrization(layer, name, Scaled()),
    "parametrizations.weight_norm": lambda layer, name: parametrizations.weight_norm(layer, name),
    "parametrizations.spectral_norm": parametrizations.spectral_norm,
    "parametrizations.orthogonal": parametrizations.orthogonal,
}


def remade_weights(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Every matrix of every layer and cell."""
    found = []
    for part in list(model.modules()):
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Embedding):
            found.append((part, "weight"))
        elif isinstance(part, SplitCell):
            found += [(part, "weight_ih"), (part, "weight_hh")]
    return found


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("name", "way"),
    [
        *(("tacotron2", way) for way in REMADE),
        *(("tacotron1", way) for way in ("prune", "weight_norm", "parametrizations.weight_norm")),
        *(("las location_sensitive", way) for way in ("prune", "spectral_norm", "parametrize")),
        *(("las content", way) for way in ("weight_norm", "parametrizations.orthogonal")),
        *(("language tied", way) for way in ("prune", "parametrize")),
    ],
)
def test_weights_that_are_made_of_others_are_made_anew_at_each_update(name: str, way: str) -> None:
    model = built(name)
    with torch.no_grad():
        for x in (x for x in model.parameters() if x.dim() == 1 and not x.any()):
            x.add_(0.01)
    for layer, weight in remade_weights(model):
        if "orthogonal" not in way or layer.__dict__["_parameters"][weight].dim() == 2:
            REMADE[way](layer, weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = sum(x.clamp(-99, 99).square().mean() for x in forward(model, True))
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    assert len(set(losses)) == 3
    outputs = forward(model, False)
    same(forward(baked(model, name), False), outputs)
    if "language" not in name:
        same(use(baked(model, name)), use(model))
    missing = [k for k, p in model.named_parameters() if p.grad is None]
    assert not missing


def baked(model: nn.Module, name: str) -> nn.Module:
    """The plain model with the weights that the other's calls read."""
    plain = built(name)
    plain.train(model.training)
    for path, part in plain.named_modules():
        other = model.get_submodule(path)
        for key, tensor in [*part._parameters.items(), *part._buffers.items()]:
            if tensor is not None:
                tensor.data.copy_(getattr(other, key).detach())
    return plain


def test_a_layer_that_is_put_in_between_two_uses_is_noticed() -> None:
    """Packed weights are kept between uses."""
    model = built("tacotron2").eval()
    first = use(model)
    kept = model.decoder.core.attention.query
    for other in (LoRA(kept), nn.Sequential(kept, nn.Identity()), nn.Linear(16, 8, bias=True)):
        model.decoder.core.attention.query = other
        same_as_called(model)
    model.decoder.core.attention.query = kept
    same(use(model), first)
    prune.l1_unstructured(model.decoder.frames, "weight", 0.5)
    assert not torch.allclose(use(model)[0], first[0])
    same_as_called(model)


def same_as_called(model: nn.Module) -> None:
    """A hook makes every module be called; without one the kernel may run."""
    quick = use(model)
    with hooked({"cell": model.decoder.core.cell}, "forward_hook"):
        same(quick, use(model))


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_hooks_run_at_other_precisions_too(precision: str) -> None:
    model = built("tacotron2").eval()
    given = torch.tensor([[1, 2, 3]]), torch.tensor([3])
    options = {"seed": 1, "max_steps": 5, "precision": precision}
    wanted = model.generate(*given, **options).mel_after
    seen: list[nn.Module] = []  # a bound method: copies of the model must not copy what it fills
    model.decoder.core.attention.query.register_forward_hook(lambda m, *_: seen.append(m))
    speech = model.generate(*given, **options).mel_after
    torch.testing.assert_close(speech, wanted, rtol=1e-3, atol=1e-3)
    assert len(seen) == 5


def test_a_quantised_model_runs() -> None:
    for name in ("tacotron2", "las content"):
        model = built(name).eval()
        wanted = use(model)
        with pytest.warns(DeprecationWarning, match="quantization"):
            quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
        assert len(use(quantised)) == len(wanted)
        assert forward(quantised, False)[0].isfinite().all()
