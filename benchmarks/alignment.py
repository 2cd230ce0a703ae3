"""Updates and seconds until attention aligns, measured against known durations, per mechanism.

    python benchmarks/alignment.py [--quick] [--size small|medium] [--seeds 5] [--only PATTERN]

espeak speaks sentences of a grammar; tokens are its phonemes, and corpus.known_durations gives the
true token of every frame. A Tacotron 2 is trained until 90 % of the frames of held-out sentences
attend to the true token or a neighbour of it, teacher-forced. The table has one row per system: the
number of seeds that aligned, mean and standard deviation of updates and of seconds (training only),
and the last accuracy. --json FILE keeps every training when it ends; the same command goes on after
those that the file has. It needs the extra `espeak`; --quick takes about a minute on an idle core,
and its results mean nothing.
"""

import argparse
import dataclasses
import fnmatch
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.batch import TTSBatch
from speechseq.corpus import espeak_sentences
from speechseq.corpus.known_durations import Spoken, frame_positions, speak_all
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig, tacotron2_small
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.diagnostics import accuracy
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.forward import ForwardConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.stepwise_monotonic import StepwiseMonotonicConfig
from speechseq.nn.eval_mode import evaluating

AUDIO = AudioConfig.preset("nvidia")
ALIGNED, GUIDE = 0.9, 50.0
LOCATION = LocationSensitiveConfig(dim=64, filters=16, kernel=15)
FIRST_ID = 1  # 0 is padding


class System(NamedTuple):
    """System to compare: an attention mechanism, and the weight of guided attention."""

    attention: AttentionConfig
    guide: float = 0.0


SYSTEMS = {
    "content, guided": System(ContentConfig(dim=64), GUIDE),
    "location-sensitive": System(LOCATION),
    "location-sensitive, guided": System(LOCATION, GUIDE),
    "gmm graves": System(GMMConfig(dim=64, version="graves")),
    "gmm v2b": System(GMMConfig(dim=64)),
    "dynamic convolution": System(DynamicConvolutionConfig(dim=64)),
    "dynamic convolution, guided": System(DynamicConvolutionConfig(dim=64), GUIDE),
    "forward": System(ForwardConfig(dim=64, filters=16, kernel=15)),
    "forward, agent": System(ForwardConfig(dim=64, filters=16, kernel=15, transition_agent=True)),
    "forward, guided": System(ForwardConfig(dim=64, filters=16, kernel=15), GUIDE),
    "stepwise monotonic": System(StepwiseMonotonicConfig(dim=64)),
    "stepwise monotonic, guided": System(StepwiseMonotonicConfig(dim=64), GUIDE),
}


class Item(NamedTuple):
    """Utterance: tokens (tokens), mel (frames, mels), and the true token of each frame."""

    tokens: Tensor
    mel: Tensor
    truth: Tensor


class Run(NamedTuple):
    """Training of one system with one seed; updates and seconds are None if it never aligned."""

    system: str
    seed: int
    updates: int | None
    seconds: float | None
    curve: list[tuple[int, float]]  # accuracy on held-out utterances after updates


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes of the comparison."""

    texts: int = 800
    held_out: int = 40
    updates: int = 3000
    every: int = 50
    batch: int = 16
    reduction_factor: int = 2
    size: str = "small"


QUICK = Plan(texts=12, held_out=3, updates=6, every=3, batch=4)


def items(plan: Plan) -> list[Item]:
    """Speak the sentences; the last `held_out` are for measuring."""
    spoken = speak_all(espeak_sentences.texts(plan.texts + plan.held_out, seed=0))
    names = sorted({event.text for one in spoken for event in one.phonemes})
    ids = {name: i for i, name in enumerate(names, start=FIRST_ID)}
    return [_item(one, ids) for one in spoken]


def _item(spoken: Spoken, ids: dict[str, int]) -> Item:
    waveform = torch.tensor(spoken.samples / 32768, dtype=torch.float32)[None]
    mel = log_mel(waveform, AUDIO)[0]
    tokens = torch.tensor([ids[event.text] for event in spoken.phonemes])
    return Item(tokens, mel, frame_positions(spoken.phonemes, len(mel), AUDIO.hop))


def batch_of(chosen: Sequence[Item]) -> TTSBatch:
    """Collate utterances to a TTSBatch."""
    return TTSBatch(
        tokens=pad_sequence([item.tokens for item in chosen], batch_first=True),
        token_lengths=torch.tensor([len(item.tokens) for item in chosen]),
        mel=pad_sequence([item.mel for item in chosen], batch_first=True),
        frame_lengths=torch.tensor([len(item.mel) for item in chosen]),
    )


def config_of(system: System, plan: Plan) -> TacotronConfig:
    """Return the model of a system, at the plan's size."""
    small = tacotron2_small(reduction_factor=plan.reduction_factor)
    decoder = dataclasses.replace(small.decoder, attention=system.attention)
    if plan.size == "small":
        return dataclasses.replace(small, decoder=decoder)
    attention = dataclasses.replace(system.attention, dim=128)
    stack = dataclasses.replace(small.decoder.stack, dim=512)
    wide = {"attention": attention, "attention_rnn_dim": 512, "stack": stack}
    encoder = dataclasses.replace(small.encoder, embedding=256, channels=256, lstm=128)
    return dataclasses.replace(small, encoder=encoder, decoder=dataclasses.replace(decoder, **wide))


def held_out_accuracy(model: Tacotron, held: Sequence[Item]) -> float:
    """Share of the frames of held-out utterances near their true token, teacher-forced."""
    batch = batch_of(held)
    truth = pad_sequence([item.truth for item in held], batch_first=True)
    with torch.no_grad(), evaluating(model):
        alignment = model(batch).alignment
    r = model.config.decoder.reduction_factor
    score = accuracy(alignment, truth, batch.frame_lengths, r)
    return float((score * batch.frame_lengths).sum() / batch.frame_lengths.sum())


def train(name: str, seed: int, data: Sequence[Item], plan: Plan) -> Run:
    """Train a system until it aligns, or for `plan.updates`."""
    torch.manual_seed(seed)
    train_items, held = data[: plan.texts], data[plan.texts :]
    symbols = 1 + max(int(item.tokens.max()) for item in data)
    model = config_of(SYSTEMS[name], plan).build(symbols=symbols, mels=AUDIO.mels).train()
    loss_config = TacotronLossConfig(
        mse=1.0, l1=1.0, stop_positive_weight=5.0, guide=SYSTEMS[name].guide, guide_sigma=0.3
    )
    loss = TacotronLoss(loss_config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, curve = 0.0, []
    for update in range(1, plan.updates + 1):
        began = time.perf_counter()
        batch = batch_of([train_items[i] for i in torch.randperm(len(train_items))[: plan.batch]])
        optimizer.zero_grad()
        loss(model(batch), batch, update=update).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds += time.perf_counter() - began
        if update % plan.every == 0:
            curve.append((update, held_out_accuracy(model, held)))
            if curve[-1][1] >= ALIGNED:
                return Run(name, seed, update, seconds, curve)
    return Run(name, seed, None, None, curve)


def row(runs: Sequence[Run]) -> str:
    """Format the table's row for the runs of one system."""
    ended = [run for run in runs if run.updates is not None]
    updates = [float(run.updates or 0) for run in ended]
    seconds = [run.seconds or 0.0 for run in ended]
    last = statistics.mean(run.curve[-1][1] for run in runs)
    cells = [runs[0].system, f"{len(ended)} of {len(runs)}", _spread(updates), _spread(seconds)]
    return f"| {' | '.join(cells)} | {last:.1%} |"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):,.0f} ± {deviation:,.0f}"


def main() -> None:
    """Train every system with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it runs")
    parser.add_argument("--size", choices=("small", "medium"), default="small")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=Plan.updates, help="the most of a run")
    parser.add_argument("--reduction-factor", type=int, default=Plan.reduction_factor)
    parser.add_argument("--only", default="*", help="pattern of systems")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    changed = {"size": arguments.size, "reduction_factor": arguments.reduction_factor}
    plan = dataclasses.replace(QUICK if arguments.quick else Plan(), **changed)
    if not arguments.quick:
        plan = dataclasses.replace(plan, updates=arguments.updates)
    kept = read(arguments.json, plan)
    data = items(plan)
    print("| system | aligned | updates | seconds | last accuracy |\n|---|---|---|---|---|")
    for name in fnmatch.filter(SYSTEMS, arguments.only):
        seeds = range(1 if arguments.quick else arguments.seeds)
        for seed in seeds:
            if not any((run.system, run.seed) == (name, seed) for run in kept):
                kept.append(train(name, seed, data, plan))
                if arguments.json:
                    runs = [run._asdict() for run in kept]
                    arguments.json.write_text(json.dumps({"plan": vars(plan), "runs": runs}))
        print(row([run for run in kept if run.system == name and run.seed in seeds]), flush=True)


def read(path: Path | None, plan: Plan) -> list[Run]:
    """Read the trainings that a file has; the file of another plan is refused."""
    if path is None or not path.exists():
        return []
    saved = json.loads(path.read_text())
    if saved["plan"] != vars(plan):
        raise SystemExit(f"{path}: made with other settings: {saved['plan']}; name another file")
    runs = [Run(**run) for run in saved["runs"]]
    return [run._replace(curve=[(update, score) for update, score in run.curve]) for run in runs]


if __name__ == "__main__":
    main()
