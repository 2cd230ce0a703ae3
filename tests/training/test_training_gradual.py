"""Training across a change of the reduction factor: optimizer, mean weights, checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lhotse import CutSet, MonoCut
from test_training_tacotron import Collate
from tiny_tacotron import MELS, SYMBOLS, tiny_batch, tiny_tacotron2

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.batch import TTSBatch
from speechseq.cli.recipe import read_flags
from speechseq.cli.train import load_recipe
from speechseq.corpus.sampling import Batches
from speechseq.errors import CheckpointError
from speechseq.models.gradual import GradualReductionConfig
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import TacotronConfig
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.resizing import follow_schedule
from speechseq.training.saving import ModelDescription
from speechseq.training.trainer import Trainer
from speechseq.training.warm_start import warm_start

STEPS = ((0, 4), (3, 2), (5, 1))
GRADUAL = tiny_tacotron2(reduction_factor=4, gradual=GradualReductionConfig(steps=STEPS))
VOCABULARY, AUDIO = Vocabulary.characters("abcd"), AudioConfig(mels=MELS)


class Fours(Collate):
    """Each utterance has a multiple of 4 frames."""

    def __call__(self, cuts: Sequence[MonoCut]) -> TTSBatch:
        frames = tuple(4 * self.frames(cut) for cut in cuts)
        return tiny_batch(tuple(2 + int(cut.id) % 3 for cut in cuts), frames, seed=int(cuts[0].id))


def train(
    run: Path, config: TacotronConfig, *, updates: int, stored: TacotronConfig | None = None
) -> Trainer:
    torch.manual_seed(1)
    cuts = CutSet.from_cuts(MonoCut(f"{i:03d}", 0, n, 0) for i, n in enumerate((2, 3, 3, 4, 5)))
    settings = TrainerConfig(
        updates=updates, ema_decay=0.9, checkpoint_every=1, keep=99, tensorboard=False
    )
    trainer = Trainer(
        config.build(symbols=SYMBOLS, mels=MELS),
        TacotronLoss(TacotronLossConfig()),
        Batches(cuts, Fours(), frames_per_batch=8, seed=5),
        settings,
        run=run,
        about=ModelDescription(model=stored or config, audio=AUDIO, vocabulary=VOCABULARY),
    )
    trainer.run()
    return trainer


def factor(folder: Path) -> int:
    return checkpoint.load(folder, TacotronConfig).model.decoder.reduction_factor


def test_a_checkpoint_has_the_factor_of_its_update_and_opens_by_itself(tmp_path: Path) -> None:
    train(tmp_path, GRADUAL, updates=6)
    for update, r in ((1, 4), (2, 4), (3, 2), (4, 2), (5, 1), (6, 1)):
        stored = checkpoint.load(tmp_path / "checkpoints" / str(update), TacotronConfig)
        assert stored.model.decoder.reduction_factor == r
        assert stored.weights["decoder.frames.weight"].shape[0] == r * MELS
        sizes = {"symbols": SYMBOLS, "mels": MELS}
        model = checkpoint.restore(stored, lambda s=stored, z=sizes: s.model.build(**z))
        output = model.eval().generate(  # type: ignore[operator]
            torch.tensor([[2, 3, 1]]), torch.tensor([3]), seed=1, max_steps=3
        )
        assert int(output.frame_lengths[0]) == r * int(output.step_lengths[0])


@pytest.mark.parametrize("stops", [(1, 3), (2, 4), (2, 3, 5)])
def test_resumed_equals_uninterrupted_across_changes_of_the_factor(
    stops: tuple[int, ...], tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", GRADUAL, updates=7)
    for updates in (*stops, 7):
        parts = train(tmp_path / "parts", GRADUAL, updates=updates)
    ours, theirs = (checkpoint.read(tmp_path / name) for name in ("parts", "whole"))
    assert all(torch.equal(ours.weights[n], x) for n, x in theirs.weights.items())
    for name, value in whole._model.state_dict().items():
        assert torch.equal(parts._model.state_dict()[name], value), name
    states = [t._optimizer.state_dict()["state"] for t in (parts, whole)]
    for key, entry in states[1].items():
        assert all(torch.equal(states[0][key][n], x) for n, x in entry.items())


def test_moments_keep_the_frames_that_stay(tmp_path: Path) -> None:
    trainer = train(tmp_path, GRADUAL, updates=2)
    model, optimizer = trainer._model, trainer._optimizer
    state = optimizer.state[model.get_parameter("decoder.frames.weight")]
    before = {name: x.clone() for name, x in state.items()}
    follow_schedule(model, 3, optimizer, trainer._ema)
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(state[name], before[name][: 2 * MELS])
    assert torch.equal(state["step"], before["step"])
    assert trainer._ema is not None
    assert trainer._ema.mean["decoder.frames.bias"].shape == (2 * MELS,)


def test_a_run_without_a_schedule_still_refuses_another_factor(tmp_path: Path) -> None:
    train(tmp_path, tiny_tacotron2(reduction_factor=4), updates=1)
    with pytest.raises(CheckpointError, match=r"reduction_factor is 4 there, 2 here"):
        train(tmp_path, tiny_tacotron2(reduction_factor=2), updates=2)
    with pytest.raises(CheckpointError, match=r"gradual"):
        train(tmp_path, GRADUAL, updates=2)


def test_a_checkpoint_of_a_later_factor_begins_a_new_schedule(tmp_path: Path) -> None:
    train(tmp_path, GRADUAL, updates=4)
    torch.manual_seed(2)
    model = GRADUAL.build(symbols=SYMBOLS, mels=MELS)
    assert warm_start(model, VOCABULARY, tmp_path, AUDIO).reduction_factors == (2, 4)
    weight = checkpoint.read(tmp_path).weights["decoder.frames.weight"]
    rows = model.decoder.frames.weight.view(4, MELS, -1)
    theirs = weight.view(2, MELS, -1)
    assert torch.equal(rows, theirs[[0, 1, 1, 1]])


def test_a_schedule_can_be_given_as_a_flag(tmp_path: Path) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "tts" / "spoken_digits.py")
    flags = ["--run", str(tmp_path), "--model.decoder.gradual", "{steps: [[0, 6], [500, 3]]}"]
    decoder = read_flags(recipe.main, recipe.Settings, flags)[0].model.decoder
    assert (decoder.gradual.at(499), decoder.gradual.at(500)) == (6, 3)
    assert decoder.frame_multiple == 6
