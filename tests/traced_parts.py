"""A child process: traces, compiles, exports or transforms every part, and compares with eager.

python traced_parts.py WAY, run in a process of its own because a failure may abort it. Eager parts
use kernels, so equality says that the plain formula ran in their place and is the same.
"""

import functools
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
from tiny_tacotron import BINS, MELS, SYMBOLS, TINY, without_dropout
from tiny_tacotron import tiny_batch as tiny_speech
from torch import Tensor, nn

from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.batch import ASRBatch, TextBatch, TTSBatch
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
from speechseq.nn.cbhg import CBHG
from speechseq.nn.cells import SplitGRU, SplitLSTM
from speechseq.nn.conv import MaskedBatchNorm, MaskedConv
from speechseq.nn.highway import Highway
from speechseq.nn.masks import length_mask
from speechseq.nn.postnet import Postnet
from speechseq.nn.prenet import Prenet
from speechseq.nn.pyramid import PyramidBiLSTM
from speechseq.nn.recurrent import BiGRU, BiLSTM

Case = tuple[nn.Module, tuple[Tensor, ...]]
LENGTHS, TIME = torch.tensor([70, 41]), 70  # rows enough for the kernel of dense products
MECHANISMS = {
    "content": ContentConfig(dim=6),
    "location_sensitive": LocationSensitiveConfig(dim=6, filters=3, kernel=5),
    "dot": DotConfig(dim=6),
    "multi_head": MultiHeadConfig(heads=2, head=LocationSensitiveConfig(dim=6, filters=2)),
    "gmm": GMMConfig(dim=6),
    "dynamic_convolution": DynamicConvolutionConfig(dim=6),
    "forward": ForwardConfig(dim=6, filters=3, transition_agent=True),
}


class Flat(nn.Module):
    """A module whose call takes tensors and gives a tuple of them, as tracers want it."""

    def __init__(self, module: nn.Module, call: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.module, self.call = module, call

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return self.call(self.module, *tensors)


def layers() -> Iterator[tuple[str, Case]]:
    x, mask = torch.randn(2, TIME, 8), length_mask(LENGTHS, TIME)
    by_mask = (MaskedConv(8, 6, 5), MaskedBatchNorm(8), Postnet(8, 3, 6, 5))
    by_lengths = (
        *(BiLSTM(8, 5), BiGRU(8, 5), PyramidBiLSTM(8, 5, 1)),
        *(CBHG(8, 3, 6, (6, 8), 2, 5), SplitLSTM(8, 0, 6, zoneout=0.1), SplitGRU(8, 0, 6)),
    )
    for module in (Prenet(8, (12, 6)), Highway(8)):
        yield type(module).__name__, (Flat(module, lambda m, x: (m(x),)), (x,))
    for module in by_mask:
        yield type(module).__name__, (Flat(module, lambda m, x, k: (m(x, k),)), (x, mask))
    for module in by_lengths:
        yield type(module).__name__, (Flat(module, _over_lengths), (x, LENGTHS))


def _over_lengths(module: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
    output = (
        module.run(x, lengths) if isinstance(module, SplitLSTM | SplitGRU) else module(x, lengths)
    )
    return (output,) if isinstance(output, Tensor) else tuple(output)


def mechanisms() -> Iterator[tuple[str, Case]]:
    memory, mask = torch.randn(2, 7, 8), length_mask(torch.tensor([7, 4]), 7)
    for name, config in MECHANISMS.items():
        flat = Flat(config.build(4, 8), _two_steps)
        yield name, (flat, (memory, mask, torch.randn(2, 2, 4)))


def _two_steps(module: nn.Module, memory: Tensor, mask: Tensor, queries: Tensor) -> tuple:
    _, _, state = module(queries[0], module.start(memory, mask))
    return module(queries[1], state)[:2]


def models() -> Iterator[tuple[str, Case]]:
    batch = tiny_speech()
    speech = (batch.tokens, batch.token_lengths, batch.mel, batch.frame_lengths)
    for name in TINY:
        config = without_dropout(TINY[name]())
        yield name, (Flat(config.build(SYMBOLS, MELS, BINS), _speak), speech)
    speller = SpellerConfig(embedding=4, hidden=7, attention=MECHANISMS["location_sensitive"])
    listener = ListenerConfig(convolutions=(2,), hidden=5, pyramid_layers=1)
    las = LASConfig(listener=listener, speller=speller, ctc=True).build(9, 6)
    heard = torch.randn(2, 20, 6), torch.tensor([20, 13]), torch.tensor([[4, 5, 1], [6, 1, 0]])
    yield "las", (Flat(las, _write), (*heard, torch.tensor([3, 2])))
    language = LanguageModelConfig(embedding=4, hidden=5, layers=2, dropout=0.0).build(9)
    yield "language", (Flat(language, _read), (*heard[2:], torch.tensor([3, 2])))


def _speak(module: nn.Module, *parts: Tensor) -> tuple[Tensor, ...]:
    names = "tokens", "token_lengths", "mel", "frame_lengths"
    output = module(TTSBatch(**dict(zip(names, parts, strict=True)), log_magnitude=None))
    return output.mel_before, output.mel_after, output.stop_logits, output.alignment


def _write(module: nn.Module, *parts: Tensor) -> tuple[Tensor, ...]:
    names = "features", "feature_lengths", "tokens", "token_lengths"
    output = module(ASRBatch(**dict(zip(names, parts, strict=True))))
    return output.log_probs, output.alignment, output.ctc_log_probs


def _read(module: nn.Module, *parts: Tensor) -> tuple[Tensor, ...]:
    return (module(TextBatch(tokens=parts[0], token_lengths=parts[1])).log_probs,)


def mels() -> Iterator[tuple[str, Case]]:
    for preset in ("nvidia", "kaldi"):
        config = AudioConfig.preset(preset)
        flat = Flat(nn.Identity(), lambda _, x, config=config: (log_mel(x, config),))
        yield f"log_mel {preset}", (flat, (torch.rand(2, 6000) - 0.5,))
    flat = Flat(nn.Identity(), lambda _, x, n: (log_mel(x, AudioConfig(), n),))
    yield "log_mel of lengths", (flat, (torch.rand(2, 6000) - 0.5, torch.tensor([6000, 4000])))


def everything() -> Iterator[tuple[str, Case]]:
    for part in (layers, mechanisms, models, mels):
        yield from part()


def same(name: str, actual: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    for one, other in zip(actual, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5, msg=lambda m: f"{name}: {m}")


@torch.no_grad()
def trace() -> None:
    for name, (flat, given) in everything():
        flat.eval()
        traced = torch.jit.trace(flat, given, check_trace=False)
        same(name, traced(*given), flat(*given))
        torch.jit.trace(flat.train(), given, check_trace=False)


@torch.no_grad()
def export() -> None:
    for name, (flat, given) in everything():
        if name != "log_mel of lengths":  # the number of frames follows from values
            exported = torch.export.export(flat.eval(), given, strict=False).module()
            same(name, exported(*given), flat(*given))


def compile_by(backend: str) -> None:
    cases = dict(everything())
    if backend == "inductor":
        cases = {"Highway": cases["Highway"]}
    for name, (flat, given) in cases.items():
        flat.eval()  # what chance does is drawn in another way there
        leaves = list(flat.parameters())
        wanted, gradients = _with_gradients(flat, given, leaves)
        whole = name in ("Prenet", "Highway", *MECHANISMS)
        torch._dynamo.reset()
        eager, compiled = _with_gradients(
            torch.compile(flat, backend=backend, fullgraph=whole), given, leaves
        )
        same(name, eager, wanted)
        same(name, compiled, gradients)


def _with_gradients(call: Callable, given: tuple, leaves: list) -> tuple[tuple, tuple]:
    torch.manual_seed(0)
    output = call(*given)
    if not leaves:
        return tuple(output), ()
    total = sum(x.sin().sum() for x in output if x.is_floating_point())
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    return tuple(x.detach() for x in output), tuple(x for x in gradients if x is not None)


def functional() -> None:
    """vmap, grad, jvp and forward-mode differentiation; subclasses and modes."""
    for name, (flat, given) in (*layers(), *mechanisms()):
        flat.eval()
        _gradients_by_function(name, flat, given)
        if not any(isinstance(part, nn.RNNBase) for part in flat.modules()):  # torch's have no jvp
            _forward_mode(name, lambda x, f=flat, more=given[1:]: f(x, *more)[0], given[0])
        with torch.no_grad():
            output = flat(given[0].as_subclass(Own), *given[1:])[0]
            same(name, (output.as_subclass(Tensor),), flat(*given)[:1])
    many = torch.randn(3, 70, 8)
    for part in (Prenet(8, (12, 6)), Highway(8)):
        part.eval()
        same("vmap", (torch.vmap(part)(many),), (part(many),))
    _vmap_of_attention()
    negative = torch.complex(torch.zeros(70, 8), torch.randn(70, 8)).conj().imag
    assert negative.is_neg()
    same("a view to be negated", (part(negative),), (part(negative * 1.0),))


def _gradients_by_function(name: str, flat: nn.Module, given: tuple[Tensor, ...]) -> None:
    def total(weights: dict) -> Tensor:
        output = torch.func.functional_call(flat, weights, given)
        return sum(x.sin().sum() for x in output if x.is_floating_point())

    gradients = torch.func.grad(total)({key: p.detach() for key, p in flat.named_parameters()})
    wanted = _with_gradients(flat, given, list(flat.parameters()))[1]
    same(name, tuple(x for x in gradients.values() if x.any()), tuple(x for x in wanted if x.any()))


def _forward_mode(name: str, call: Callable[[Tensor], Tensor], x: Tensor) -> None:
    _, along = torch.func.jvp(call, (x,), (torch.ones_like(x),))
    _, back = torch.func.vjp(call, x)
    same(name, (back(along)[0].sum(),), (along.square().sum(),))
    with torch.autograd.forward_ad.dual_level():
        output = call(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))
        same(name, (torch.autograd.forward_ad.unpack_dual(output).tangent,), (along,))


def _vmap_of_attention() -> None:
    for name, (flat, (memory, mask, queries)) in mechanisms():
        many = torch.stack([queries, 2 * queries])
        wanted = torch.stack([flat(memory, mask, own)[0] for own in many])
        call = functools.partial(flat, memory, mask)
        same(name, (torch.vmap(lambda own, call=call: call(own)[0])(many),), (wanted,))


class Own(Tensor):
    """A subclass, whose memory nobody knows anything about."""


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    way = sys.argv[1]
    ways = {"trace": trace, "export": export, "functional": functional}
    ways[way]() if way in ways else compile_by(way)
    print("the same")
