"""Runs spoiled on purpose, and good ones: does the doctor name what is wrong, and nothing else?

    python benchmarks/doctor.py [--quick] [--only PATTERN …] [--updates 250] [--out DIR] [--again]

espeak speaks strings of digits. A tiny Tacotron 2 is trained by the Trainer in each of the cases
below, the spoiled ones for two fifths of the planned updates; the doctor then reads the log of the
run. A spoiled run is named rightly if its first finding is the case's own, at the end of its log,
and "early" if it is so after a tenth of the planned updates; a good run must have no finding at any
validation. --again diagnoses the logs of earlier runs in DIR without training. --quick takes a few
updates of each; its results mean nothing.
"""

import argparse
import fnmatch
import functools
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from doctor_cases import AUDIO, CASES, Case, Pair
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speechseq.audio.mel import log_mel
from speechseq.batch import TTSBatch
from speechseq.corpus import spoken_digits
from speechseq.corpus.known_durations import speak_all
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.doctor import diagnose, read_history
from speechseq.training.doctor_validation import doctor_validation
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.trainer import Trainer

VOCABULARY = Vocabulary.characters(sorted(set(" ".join(spoken_digits.WORDS))))


class Verdict(NamedTuple):
    """Diagnosis of a run: is it right at the end, and after the first tenth; the parts named."""

    right: bool
    early: bool
    found: list[str]


class Endless:
    """Batches of utterances in memory, drawn at random, for a Trainer."""

    def __init__(self, items: Sequence[tuple[Tensor, Tensor]], size: int, seed: int) -> None:
        self._items, self._size = items, size
        self._generator = torch.Generator().manual_seed(seed)

    def __next__(self) -> TTSBatch:
        order = torch.randperm(len(self._items), generator=self._generator)
        return collate([self._items[i] for i in order[: self._size]])

    def state_dict(self) -> dict:
        """State of the generator."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state."""
        self._generator.set_state(state["generator"])


def collate(items: Sequence[tuple[Tensor, Tensor]]) -> TTSBatch:
    """Make a batch of pairs of tokens (tokens) and mels (frames, mels)."""
    tokens, mels = zip(*items, strict=True)
    return TTSBatch(
        tokens=pad_sequence(tokens, batch_first=True),
        token_lengths=torch.tensor([len(row) for row in tokens]),
        mel=pad_sequence(mels, batch_first=True, padding_value=AUDIO.floor_value),
        frame_lengths=torch.tensor([len(row) for row in mels]),
    )


@functools.cache
def spoken(count: int, seed: int, voice: str, rate: int) -> tuple[Pair, ...]:
    """Strings of two to four digits, with their sound."""
    texts = spoken_digits.texts(count, seed, shortest=2, longest=4)
    said = speak_all(texts, voice=voice, rate=rate)
    sounds = [torch.from_numpy(one.samples / 32768).float() for one in said]
    return tuple(zip(texts, sounds, strict=True))


def corpus(case: Case, count: int) -> list[tuple[Tensor, Tensor]]:
    """Speak and spoil strings of digits; return pairs of tokens and mels."""
    pairs = case.spoil(list(spoken(count, case.seed, case.voice, case.words_per_minute)))
    return [
        (torch.tensor(VOCABULARY.encode(text)), log_mel(sound[None], case.mels)[0])
        for text, sound in pairs
    ]


def train(case: Case, run: Path, planned: int, utterances: int, held_out: int) -> None:
    """Train a case in a folder, whose learning rate is constant, so that it may end early."""
    updates, every = (planned * 2 // 5 if case.named else planned), max(1, planned // 20)
    items = corpus(case, utterances + held_out)
    seed_everything(case.seed)
    model = case.model.build(symbols=len(VOCABULARY), mels=AUDIO.mels)
    if case.freeze:
        freeze(model.encoder)
    loss = TacotronLoss(
        TacotronLossConfig(
            l1=1.0, stop=case.stop, stop_positive_weight=5.0, guide=case.guide, guide_sigma=0.3
        )
    )
    config = TrainerConfig(
        updates=updates,
        learning_rate=case.rate,
        log_every=every,
        validate_every=every,
        checkpoint_every=updates,
        keep=1,
        seed=case.seed,
        tensorboard=False,
    )
    Trainer(
        model,
        loss,
        Endless(items[:utterances], 8, case.seed),
        config,
        run=run,
        about=ModelDescription(model=case.model, audio=AUDIO, vocabulary=VOCABULARY),
        validate=doctor_validation(loss, lambda: batches(items[utterances:]), AUDIO),
    ).run()


def batches(items: Sequence[tuple[Tensor, Tensor]]) -> Iterator[TTSBatch]:
    """Held-out batches."""
    yield from (collate(items[i : i + 24]) for i in range(0, len(items), 24))


def freeze(part: nn.Module) -> None:
    """Leave a part out of the training."""
    for parameter in part.parameters():
        parameter.requires_grad_(False)


def parts(run: Path, planned: int, share: float = 1.0) -> list[str]:
    """Parts that the findings name, from the log up to a share of the planned updates."""
    history, _ = read_history(run)
    known = [(update, values) for update, values in history if update <= share * planned]
    return [finding.problem.partition(":")[0] for finding in diagnose(known, planned)]


def verdict(case: Case, run: Path, planned: int) -> Verdict:
    """Diagnose a run."""
    late, early = parts(run, planned), parts(run, planned, 0.1)
    if case.named:
        return Verdict(late[:1] == [case.named], early[:1] == [case.named], late)
    accused = [part for k in range(1, 21) for part in parts(run, planned, k / 20)]
    return Verdict(not accused, not early, sorted(set(accused)))


def main() -> None:
    """Train every case, diagnose it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few updates, to see that it runs")
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of cases")
    parser.add_argument("--updates", type=int, default=250)
    parser.add_argument("--out", type=Path, default=None, help="folder that keeps the runs")
    parser.add_argument("--again", action="store_true", help="diagnose runs that are there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out = arguments.out or Path(tempfile.mkdtemp(prefix="doctor-"))
    updates, utterances, held = (6, 12, 4) if arguments.quick else (arguments.updates, 200, 24)
    print("| run | right | early | found | seconds |\n|---|---|---|---|---|")
    right = {True: [0, 0], False: [0, 0]}
    chosen = dict.fromkeys(n for only in arguments.only for n in fnmatch.filter(CASES, only))
    for name in chosen:
        case, began = CASES[name], time.perf_counter()
        run = out / name.replace(" ", "_").replace(":", "").replace("=", "").replace(",", "")
        if not arguments.again:
            train(case, run, updates, utterances, held)
        result = verdict(case, run, updates)
        right[bool(case.named)][0] += 1
        right[bool(case.named)][1] += result.right
        marks = " | ".join("yes" if mark else "no" for mark in result[:2])
        found, seconds = ", ".join(result.found) or "nothing", time.perf_counter() - began
        print(f"| {name} | {marks} | {found} | {seconds:.0f} |", flush=True)
    (bad, named), (good, spared) = right[True], right[False]
    print(
        f"{named} of {bad} spoiled runs named rightly, {good - spared} of {good} good ones accused"
    )


if __name__ == "__main__":
    main()
