"""Calls every kernel with wrong arguments; run as a process of its own, which may not die.

    python kernel_calls.py COUNT SEED

A small workload calls every kernel and packs every struct as the package does. Those calls are
recorded, and then repeated COUNT times a kernel with one to three arguments changed. A call may be
refused with KernelArgumentError, or run; prints one line of figures for each kernel.
"""

import random
import sys

import torch

from speechseq.audio.griffin_lim import griffin_lim
from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.recognise import recognise
from speechseq.models.las import las_small
from speechseq.models.tacotron import tacotron1, tacotron2_small
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention_rnn import AttentionRNN
from speechseq.nn.cbhg import CBHG
from speechseq.nn.cells import SplitLSTM
from speechseq.nn.recurrent import BiGRU, BiLSTM
from speechseq.ops import linear
from speechseq.ops.additive import additive_energies
from speechseq.ops.cpp import library
from speechseq.ops.cpp.signature import KernelArgumentError, Signature, Structs
from speechseq.ops.cpp.signatures import SIGNATURES, STRUCTS
from speechseq.ops.deferred_linear import PrepackedLinear

Recorded = dict[str, list[tuple]]
LARGE = (2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.int32, torch.bool)


def recorded() -> Recorded:
    """Arguments of real calls: of kernels as `source.function`, of structs as `source:Struct`."""
    calls: Recorded = {}
    owners = {id(s): f"{name}.{f}" for name, own in SIGNATURES.items() for f, s in own.items()}
    owners |= {id(s): f"{name}:{f}" for name, own in STRUCTS.items() for f, s in own.items()}
    check = Signature.check

    def record(self, function, arguments, kernels):
        own = calls.setdefault(owners[id(self)], [])
        if len(own) < 4:
            own.append(tuple(arguments))
        return check(self, function, arguments, kernels)

    Signature.check = record
    try:
        workload()
    finally:
        Signature.check = check
    return calls


def workload() -> None:
    """Something of everything that a kernel does."""
    linear._faster_than_torch()
    linear._faster_than_torch = lambda: True  # on this processor, too
    x, lengths = torch.randn(2, 40, 8, requires_grad=True), torch.tensor([40, 33])
    parts = BiLSTM(8, 5), BiGRU(8, 5), CBHG(8, 3, 8, (8, 8), 1, 4)
    for part in parts:
        part(x, lengths).sum().backward()
    for part in parts[:2]:
        with torch.autocast("cpu", torch.bfloat16):
            part(x, lengths).float().sum().backward()
    attention = ContentConfig(dim=7).build(6, 9)
    for number in (torch.float32, torch.bfloat16):
        loop = AttentionRNN(SplitLSTM(8, 9, 6, dropout=0.5), attention)
        memory, mask = torch.randn(2, 7, 9), torch.ones(2, 7, dtype=torch.bool)
        with torch.autocast("cpu", torch.bfloat16, enabled=number == torch.bfloat16):
            output = loop(x, memory, mask, lengths)
        sum(part.float().sum() for part in output).backward()
    voice = tacotron2_small().build(symbols=20, mels=8).eval()
    old = tacotron1().build(symbols=20, mels=8, bins=33).eval()
    tokens, own = torch.randint(4, 20, (2, 9)), torch.tensor([9, 7])
    for model, precision in ((voice, "float32"), (voice, "int8"), (old, "bfloat16")):
        model.generate(tokens, own, seed=0, max_steps=3, precision=precision)
    ears = las_small().build(symbols=20, features=8).eval()
    recognise(ears, x.detach(), lengths, Beam(size=3))
    with torch.inference_mode():
        PrepackedLinear(torch.randn(5, 8), torch.randn(5))(torch.randn(3, 8))
        PrepackedLinear(torch.randn(5, 8), None)(torch.randn(3, 8), torch.randn(3, 5))
        history, filters = torch.rand(4, 2, 7), torch.randn(3, 2, 5)
        parts = torch.randn(4, 6), torch.randn(2, 7, 6), torch.randn(6)
        additive_energies(*parts, history, filters, torch.randn(6, 3))
    for number in (torch.float32, torch.float64):
        audio = AudioConfig(n_fft=64, window=48, hop=16, mels=8)
        log_mel(torch.randn(1, 300).to(number), audio)
        griffin_lim(torch.rand(1, 9, 33).to(number), audio, iterations=2)


class Changes:
    """Wrong values for the arguments of a call."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self, value):
        """Another value in the place of one."""
        pick = self.random
        others = [None, 0, -1, 1, 3, 0.5, float("nan"), "x", [1], pick.choice(LARGE), 10**30]
        if isinstance(value, torch.Tensor) and pick.random() < 0.9:
            return self.tensor(value)
        if isinstance(value, int) and pick.random() < 0.8:
            return pick.choice([value + 1, value - 1, 2 * value + 1, -value, 0, *LARGE])
        if isinstance(value, Structs) and pick.random() < 0.8:
            return self.structs(value)
        return pick.choice([*others, torch.zeros(2, 3), torch.zeros(0)])

    def tensor(self, x: torch.Tensor):
        """A tensor of another type, shape, layout, device or, of integers, other values."""
        pick, x = self.random, x.detach()
        if x.device.type != "cpu" or x.layout != torch.strided:
            return None  # changed once already
        if x.dtype in (torch.int64, torch.bool) and pick.random() < 0.6:
            return self.values(x)
        return pick.choice(
            [
                lambda: x.to(pick.choice([t for t in TYPES if t != x.dtype])),
                lambda: x.flatten(),
                lambda: x.unsqueeze(0),
                lambda: x[:-1].clone() if x.dim() else x,
                lambda: x[..., : x.shape[-1] // 2].clone() if x.dim() else x,
                lambda: x[..., ::2] if x.dim() else x,
                lambda: torch.cat([x, x]) if x.dim() else x,
                lambda: x.transpose(0, -1) if x.dim() else x,
                lambda: x.new_zeros(1).expand(x.shape),
                lambda: x.to("meta"),
                lambda: x.new_empty(0),
                lambda: x.to_sparse() if x.dim() else x,
                lambda: x.reshape(-1, 1),
            ]
        )()

    def structs(self, value: Structs) -> Structs:
        """The same structs with a field changed, or fewer of them, if they can be packed so."""
        source = next(name for name, own in STRUCTS.items() if value.name in own)
        fields = [parameter.name for parameter in STRUCTS[source][value.name].parameters]
        rows = [[getattr(row, field) for field in fields] for row in value.rows]
        rows = rows[: self.random.choice((len(rows), len(rows), 1))]
        row = self.random.choice(rows)
        at = self.random.choice([i for i, own in enumerate(row) if isinstance(own, int)] or [0])
        row[at] = self(row[at])
        try:
            return library.pack(source, value.name, *rows)
        except KernelArgumentError:
            return value

    def values(self, x: torch.Tensor) -> torch.Tensor:
        """The same integers with some of them changed, in a tensor of its own."""
        x = x.clone(memory_format=torch.contiguous_format)
        if not x.numel():
            return x
        at = self.random.randrange(x.numel())
        if x.dtype == torch.bool:
            x.view(-1)[at] = ~x.view(-1)[at]
        else:
            x.view(-1)[at] = self.random.choice([-1, 0, 1, 7, 1000, *LARGE])
        return x


def attempt(name: str, arguments: list) -> bool:
    """Call a kernel or pack a struct; False if the arguments were refused."""
    try:
        if ":" in name:
            source, struct = name.split(":")
            library.pack(source, struct, arguments)
        else:
            library.call(*name.split("."), *arguments)
    except KernelArgumentError:
        return False
    return True


def main(count: int, seed: int) -> None:
    """Print `kernel: calls taken, refused`, and at last `survived`."""
    torch.manual_seed(seed)
    torch.set_num_threads(2)
    calls = recorded()
    every = {f"{name}.{f}" for name, own in SIGNATURES.items() for f in own}
    every |= {f"{name}:{f}" for name, own in STRUCTS.items() for f in own}
    if missing := every - set(calls):
        sys.exit(f"never called: {sorted(missing)}")
    change = Changes(seed)
    for name, given in sorted(calls.items()):
        taken = 0
        for i in range(count):
            arguments = [own_copy(value) for value in given[i % len(given)]]
            if not i:
                assert attempt(name, arguments), f"{name}: what was recorded is refused"
            for _ in range(change.random.choice((1, 1, 2, 3))):
                at = change.random.randrange(len(arguments))
                arguments[at] = change(arguments[at])
            taken += attempt(name, arguments)
        print(f"{name}: {taken} taken, {count - taken} refused", flush=True)
    print("survived")


def own_copy(value):
    """A tensor of its own memory, so that what a kernel writes beside it is found."""
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach()
    copy = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
    return copy.copy_(value) if value.numel() and 0 not in value.stride() else value


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
