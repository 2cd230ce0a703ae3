"""Held-out loss of a Tacotron and the measures of the doctor, for `validate` of a Trainer."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from speechseq.audio.mel import AudioConfig
from speechseq.batch import TTSBatch
from speechseq.training.corpus_facts import Utterance, corpus_facts, utterance_facts
from speechseq.training.doctor import measure
from speechseq.training.train_step import Loss
from speechseq.training.validation import Means, loss_by_term, on_device


def doctor_validation(
    loss: Loss, batches: Callable[[], Iterable[TTSBatch]], audio: AudioConfig
) -> Callable[[nn.Module], dict[str, float]]:
    """Make a validation function that returns the held-out loss and what the doctor reads.

    The values are those of `held_out_loss` and of `doctor.measure`, from one pass over the batches,
    and those of `corpus_facts`. The means do not depend on the batching.

    Args:
        loss: loss, see `Trainer`.
        batches: function called at each validation, which returns every held-out batch once.
        audio: settings that the mels should have.
    """
    facts: dict[str, float] = {}

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        means = Means()
        seen: list[Utterance] = []
        for batch in on_device(model, batches()):
            output = model(batch)
            seen += [] if facts else utterance_facts(batch, audio)
            means.add(loss_by_term(loss, output, batch), batch.weight)
            lengths = output.step_lengths, batch.token_lengths
            found = measure(output.alignment, *lengths, output.stop_logits)
            stop = {"stop_accuracy": found.pop("stop_accuracy")}
            means.add(found, len(batch))
            means.add(stop, int(output.step_lengths.sum()))
        facts.update(corpus_facts(seen, audio) if seen else {})
        return means.read() | facts

    return validate
