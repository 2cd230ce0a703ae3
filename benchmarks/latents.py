"""Latents compared on known prosody, without a Tacotron: autoencoders of pooled mels.

    python benchmarks/latents.py [--seed 0] [--utterances 2000] [--updates 2500] [--only PATTERN]

The encoder reads means and deviations of 40 mel bands and the duration of an utterance of
corpus.known_prosody. From a code of 6 numbers (or tokens), the decoder predicts the same 81
standardised features. The loss is squared error / (2 σ²) + the style's penalty. R² are those of F0,
spread, energy and rate of held-out utterances, predicted by a quadratic function of their codes;
the prosody of prior samples is predicted linearly from decoded features, that of the real
utterances from theirs.
The table has one row per system; "null" is the same distance between two samples of the same
distribution. It needs the extras `espeak` and `style`, and takes a minute per system on one core.
"""

import argparse
import dataclasses
import fnmatch
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from speechseq.audio.mel import AudioConfig
from speechseq.config import Config
from speechseq.corpus import features, known_prosody
from speechseq.evaluation.prosody import prosody_distance
from speechseq.evaluation.style_card import measured
from speechseq.models.style import builders
from speechseq.models.style.statistics import statistics
from speechseq.models.style.style import Style, StyleConfig
from speechseq.nn.transport import transport

DIM, VECTOR, BATCH, HELD_OUT = 6, 64, 100, 400
AUDIO = AudioConfig(n_fft=512, hop=256, window=512, mels=40, sample_rate=16000, fmax=8000.0)
MEASURES = ("F0", "spread", "energy", "rate")


class System(NamedTuple):
    """Style to compare, and the variance of its decoder."""

    style: StyleConfig
    variance: float = 0.5


def sizes(build: Callable[..., StyleConfig], **numbers: object) -> StyleConfig:
    """Build a style with this benchmark's sizes and an encoder of pooled features."""
    config = build(dim=DIM, style_dim=VECTOR, **numbers)
    return dataclasses.replace(config, reference=PooledConfig())


@dataclasses.dataclass(frozen=True, kw_only=True)
class PooledConfig(Config):
    """Settings of an encoder of pooled features, which are the only frame of each item."""

    kind: ClassVar[str] = "pooled"

    def build(self, mels: int) -> "Pooled":
        """Build the module for this many features."""
        return Pooled(mels)


class Pooled(nn.Sequential):
    """Encoder of two layers over the first frame."""

    def __init__(self, features: int) -> None:
        super().__init__(nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.summary_dim = 128

    def forward(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Map (batch, 1, features) to summaries (batch, 128)."""
        return super().forward(mel[:, 0])


def systems() -> dict[str, System]:
    """Return every system by name."""
    tokens = builders.gst(tokens=10, heads=2, style_dim=VECTOR)
    found = {
        "autoencoder": System(sizes(builders.autoencoder)),
        "WAE-MMD 10": System(sizes(builders.wae_mmd, weight=10.0)),
        "WAE-MMD 100": System(sizes(builders.wae_mmd, weight=100.0)),
        "tokens": System(dataclasses.replace(tokens, reference=PooledConfig())),
    }
    for variance in (1.0, 0.1, 10.0):
        found[f"VAE σ² {variance:g}"] = System(sizes(builders.vae), variance)
    for variance in (1.0, 0.1):
        found[f"RealNVP prior σ² {variance:g}"] = System(sizes(builders.flow_vae), variance)
    found["IAF posterior σ² 1"] = System(sizes(builders.iaf_vae), 1.0)
    found["mixture prior σ² 1"] = System(sizes(builders.gmvae), 1.0)
    return found


def corpus(folder: Path, utterances: int, seed: int) -> tuple[Tensor, Tensor]:
    """Make pooled features (utterances, 1, 81) and measures (utterances, 4), both standardised."""
    pooled, rows = [], []
    cuts = known_prosody.make(folder, utterances=utterances, seed=seed)
    with features.one_warning():
        for cut in cuts:
            waveform = features.load_waveform(cut, AUDIO)
            mel = features.load_mel(cut, AUDIO)
            duration = torch.tensor([float(np.log(len(mel)))])
            pooled.append(torch.cat([mel.mean(0), mel.std(0), duration]))
            rows.append(measured([waveform[0]], AUDIO.sample_rate)[0])
    known = np.isfinite(rows).all(1)
    x = torch.stack(pooled)[torch.from_numpy(known)].unsqueeze(1)
    y = torch.tensor(np.array(rows)[known], dtype=torch.float32)
    return tuple((z - z.mean(0)) / z.std(0) for z in (x, y))  # type: ignore[return-value]


def train(system: System, x: Tensor, updates: int) -> tuple[Style, nn.Module]:
    """Train a system on all utterances except the last `HELD_OUT`."""
    style = system.style.build(x.shape[2])
    decoder = nn.Sequential(nn.Linear(VECTOR, 128), nn.ReLU(), nn.Linear(128, x.shape[2]))
    parameters = [*style.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    known, ones = len(x) - HELD_OUT, torch.ones(BATCH, dtype=torch.int64)
    for update in range(updates):
        rows = torch.randint(known, (BATCH,))
        latent = style.encode(x[rows], ones)
        error = (decoder(latent.vector) - x[rows, 0]).square().sum(1).mean()
        penalty = sum(style.penalty(latent, update=update).values())
        optimizer.zero_grad()
        (error / (2 * system.variance) + penalty).backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2 * (1 - update / updates) + 0.02)
    return style.eval(), decoder.eval()


@torch.no_grad()
def judge(style: Style, decoder: nn.Module, x: Tensor, y: Tensor) -> dict[str, str]:
    """Measure a trained system on the held-out items."""
    known = len(x) - HELD_OUT
    codes = style.encode(x, torch.ones(len(x), dtype=torch.int64)).code.flatten(1)
    codes = quadratic(codes)
    prosody_of_code = linear(codes[:known], y[:known])
    prosody_of_features = linear(x[:known, 0], y[:known])
    x, y = x[known:], y[known:]
    ones = torch.ones(len(x), dtype=torch.int64)
    mean, drawn = style.encode(x, ones), style.encode(x, ones, seed=list(range(len(x))))
    r2 = 1 - (prosody_of_code(codes[known:]) - y).var(0) / y.var(0)
    one, two = style.sample(len(x), seed=1), style.sample(len(x), seed=2)
    sampled = prosody_of_features(decoder(one.vector))
    distance = prosody_distance(sampled, prosody_of_features(x[:, 0]))
    found = statistics(style, [mean])
    return {
        **{f"R² {name}": f"{value:.2f}" for name, value in zip(MEASURES, r2.tolist(), strict=True)},
        "W2(codes, prior)": f"{w2(drawn.code, one.code):.2f}",
        "null": f"{w2(two.code, one.code):.2f}",
        "prosody of prior samples": f"{distance.value:.2f}",
        "its null": f"{distance.null:.2f}",
        "active": f"{found['active_units']:.0%}",
        "KL, information": ", ".join(
            f"{found[k]:.2f}" for k in ("kl", "mutual_information") if k in found
        ),
    }


def quadratic(codes: Tensor) -> Tensor:
    """Append all products of two numbers of a code to the codes (items, dim)."""
    first, second = torch.triu_indices(codes.shape[1], codes.shape[1])
    return torch.cat([codes, codes[:, first] * codes[:, second]], 1)


def linear(inputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the least-squares prediction of targets (items, …) from inputs (items, …)."""

    def with_one(z: Tensor) -> Tensor:
        return torch.cat([z.double(), torch.ones(len(z), 1, dtype=torch.float64)], 1)

    solution = torch.linalg.lstsq(with_one(inputs), targets.double(), driver="gelsd").solution
    return lambda z: with_one(z) @ solution


def w2(first: Tensor, second: Tensor) -> float:
    """Return the exact Wasserstein-2 distance of two sets of codes."""
    a, b = first.flatten(1).double(), second.flatten(1).double()
    shares = torch.full((len(a),), 1 / len(a), dtype=torch.float64)
    cost = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)
    return float(transport(cost, shares, shares).value) ** 0.5


def main() -> None:
    """Train and judge every system; print one Markdown row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--utterances", type=int, default=2000)
    parser.add_argument("--updates", type=int, default=2500)
    parser.add_argument("--only", default="", metavar="PATTERN")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        x, y = corpus(Path(folder) / "corpus", options.utterances, options.seed)
    head = False
    for name, system in systems().items():
        if not fnmatch.fnmatch(name, f"*{options.only}*"):
            continue
        began = time.perf_counter()
        torch.manual_seed(options.seed)
        row = judge(*train(system, x, options.updates), x, y)
        row["seconds"] = f"{time.perf_counter() - began:.0f}"
        if not head:
            print(f"| system | {' | '.join(row)} |\n|{'---|' * (len(row) + 1)}")
            head = True
        print(f"| {name} | {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
