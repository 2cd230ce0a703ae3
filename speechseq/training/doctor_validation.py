"""Held-out loss of a Tacotron and the measures of the doctor, for `validate` of a Trainer."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from speechseq.audio.mel import AudioConfig
from speechseq.batch import TTSBatch
from speechseq.models.tacotron import Tacotron
from speechseq.models.tacotron_output import TacotronOutput
from speechseq.training.corpus_facts import Utterance, corpus_facts, utterance_facts
from speechseq.training.doctor import measure
from speechseq.training.probes import (
    Movement,
    free_running,
    mel_skill,
    stop_skill,
    text_gain,
    weight_size,
)
from speechseq.training.train_step import Loss
from speechseq.training.validation import Means, loss_by_term, on_device

_SCORES = ("focus", "coverage", "monotonicity")


def doctor_validation(
    loss: Loss, batches: Callable[[], Iterable[TTSBatch]], audio: AudioConfig
) -> Callable[[nn.Module], dict[str, float]]:
    """Make a function, for `validate` of a Trainer, that measures what `doctor.diagnose` needs.

    It takes a model and returns, by name, the values of `held_out_loss`, of `doctor.measure` and of
    `corpus_facts`, from one pass over the batches. The means do not depend on the batching.

    Args:
        loss: the loss that the Trainer minimises.
        batches: function called at each validation, which returns every held-out batch once.
        audio: settings that the mels should have.
    """
    facts: dict[str, float] = {}
    movement = Movement()

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Tacotron)
        means = Means()
        seen: list[Utterance] = []
        probed: dict[str, float] = {}
        for batch in on_device(model, batches()):
            output = model(batch)
            seen += [] if facts else utterance_facts(batch, audio)
            means.add(loss_by_term(loss, output, batch), batch.weight)
            lengths = output.step_lengths, batch.token_lengths
            found = measure(output.alignment, *lengths, output.stop_logits)
            stop = {"stop_accuracy": found.pop("stop_accuracy")}
            means.add(found, len(batch))
            means.add(stop, int(output.step_lengths.sum()))
            probed = probed or _probed(model, batch, output)
        facts.update(corpus_facts(seen, audio) if seen else {})
        size = {"weight_size": weight_size(model)}
        return means.read() | probed | size | movement.read(model) | facts

    return validate


def _probed(model: Tacotron, batch: TTSBatch, output: TacotronOutput) -> dict[str, float]:
    lengths = output.step_lengths, batch.token_lengths
    forced = measure(output.alignment, *lengths, output.stop_logits)
    free = free_running(model, batch)
    return {
        "gap": sum(forced[name] - free[name] for name in _SCORES) / len(_SCORES),
        "text_gain": text_gain(model, batch, output),
        "mel_skill": mel_skill(output, batch),
        "stop_skill": stop_skill(output.stop_logits, output.step_lengths),
    }
