"""Transcriber: sounds to transcripts, with a trained model or one in training."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from speechseq import checkpoint as checkpoints
from speechseq.audio.deltas import add_deltas
from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.config import Config
from speechseq.errors import ConfigError, DataError, SpeechseqError
from speechseq.inference.audio_input import Sound, read_sound
from speechseq.inference.decoding import Decoded, decode
from speechseq.inference.device import checked_device
from speechseq.inference.search.beam import usual_beam
from speechseq.inference.search.interfaces import WeightedScorer
from speechseq.inference.search.recognise import Strategy
from speechseq.inference.transcript import Transcript
from speechseq.inference.transcript_builder import build_transcript
from speechseq.models.las import LAS, LASConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.ranges import Count, checked
from speechseq.shapes import Waveform
from speechseq.text.vocabulary import Vocabulary

_SECONDS = 10.0  # of one row of a full batch, which fits in the memory of a small machine


class Transcriber:
    """Speech recognition with a trained LAS: turns sounds into text with word times.

    Make it by `load`, and call `transcribe`.

    Args:
        model: trained recogniser, or one in training.
        vocabulary: symbols of its transcripts.
        audio: settings of its features.
        batch_size: maximum number of utterances in a batch.
        longest_seconds: maximum duration of an utterance; longer ones are refused, as they may
            exhaust the memory.

    Examples:
        >>> transcriber = Transcriber.load("runs/demo/ears")
        >>> results = transcriber.transcribe(["one.wav", "two.wav"], beam=4)
        >>> lines = [f"{result.text} ({result.seconds:.1f} s)" for result in results]
    """

    def __init__(
        self,
        model: LAS,
        vocabulary: Vocabulary,
        audio: AudioConfig,
        batch_size: int = 16,
        longest_seconds: float = 60.0,
    ) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self.audio = audio
        self.batch_size = checked("batch_size", batch_size, Count)
        self.longest_seconds = longest_seconds

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        device: str | torch.device = "cpu",
        also: Sequence[type[Config]] = (),
        reading: ReadingConfig | None = None,
    ) -> "Transcriber":
        """Load the checkpoint of a trained LAS.

        Args:
            checkpoint: folder of the checkpoint, or of the run.
            device: device of the model, such as "cpu" or "cuda".
            also: Config classes of your own parts (such as an attention mechanism) in its model.
            reading: options of the attention's weights; None takes the model's own.

        Raises:
            CheckpointError: the checkpoint is truncated, empty, or of another kind of model.
            ConfigError: no device has this name.
            MachineError: this machine does not have the device.
        """
        where = checked_device(device)
        stored = checkpoints.load(checkpoint, LASConfig, also=also)
        vocabulary, audio = stored.vocabulary, stored.audio

        def build() -> LAS:
            return stored.model.build(symbols=len(vocabulary), features=audio.features)

        model = cast(LAS, checkpoints.restore(stored, build))
        if (reading := reading or stored.model.reading) is not None:
            model.speller.core.attention.reading = reading
        return cls(model.to(where).eval(), vocabulary, audio)

    def transcribe(
        self,
        sounds: Sequence[Sound],
        *,
        beam: int = 8,
        n_best: int = 1,
        strategy: Strategy | None = None,
        scorers: Sequence[WeightedScorer] = (),
    ) -> list[Transcript]:
        """Transcribe every sound; no result depends on the other sounds or their order.

        All sounds are held in memory: pass some hundreds of short ones at a time.

        Args:
            sounds: files (WAV, FLAC, OGG), or pairs (waveform (samples,) or (1, samples), rate).
            beam: width of the beam search.
            n_best: number of hypotheses in each transcript's `n_best`.
            strategy: another search, such as Greedy(), instead of that beam.
            scorers: language models with their weights.

        Raises:
            DataError: sounds cannot be used; all are listed by index, and no sound is transcribed.
            CheckpointError: the model's output is not finite, as after a diverged training.
            MachineError: a sound does not fit in memory, even in a batch of one.
        """
        waveforms = self._read_all(sounds)
        _refuse(waveforms)
        found = self._transcribe_all(waveforms, strategy or usual_beam(beam, n_best), scorers)
        _refuse(found)
        return [item for item in found if isinstance(item, Transcript)]

    def attempt(
        self,
        sounds: Sequence[Sound],
        *,
        beam: int = 8,
        n_best: int = 1,
        strategy: Strategy | None = None,
        scorers: Sequence[WeightedScorer] = (),
    ) -> list[Transcript | SpeechseqError]:
        """Transcribe every sound like `transcribe`, but return the error of a sound that fails.

        Args:
            sounds: files (WAV, FLAC, OGG), or pairs (waveform (samples,) or (1, samples), rate).
            beam: width of the beam search.
            n_best: number of hypotheses in each transcript's `n_best`.
            strategy: another search, such as Greedy(), instead of that beam.
            scorers: language models with their weights.
        """
        search = strategy or usual_beam(beam, n_best)
        return self._transcribe_all(self._read_all(sounds), search, scorers)

    def _read_all(self, sounds: Sequence[Sound]) -> list[Tensor | SpeechseqError]:
        if isinstance(sounds, (str, os.PathLike)):
            raise ConfigError("sounds is one path", "pass a list: [path]")
        waveforms: list[Tensor | SpeechseqError] = []
        for sound in sounds:
            try:
                waveforms.append(read_sound(sound, self.audio, self.longest_seconds))
            except DataError as error:
                waveforms.append(error)
        return waveforms

    def _transcribe_all(
        self,
        sounds: Sequence[Tensor | SpeechseqError],
        search: Strategy,
        scorers: Sequence[WeightedScorer],
    ) -> list[Transcript | SpeechseqError]:
        waveforms = {i: x for i, x in enumerate(sounds) if not isinstance(x, SpeechseqError)}
        found: dict[int, Transcript | SpeechseqError] = {}
        for rows in self._batches({i: x.shape[1] for i, x in waveforms.items()}):
            batch = [waveforms[i] for i in rows]
            found.update(zip(rows, self._transcribe(batch, search, scorers), strict=True))
        return [x if isinstance(x, SpeechseqError) else found[i] for i, x in enumerate(sounds)]

    def _batches(self, samples: dict[int, int]) -> Iterator[list[int]]:
        """Batch sounds of similar length; batches of longer sounds have fewer items."""
        rows: list[int] = []
        most = self.batch_size * _SECONDS * self.audio.sample_rate
        for i in sorted(samples, key=lambda i: samples[i]):
            if rows and (len(rows) == self.batch_size or (len(rows) + 1) * samples[i] > most):
                yield rows
                rows = []
            rows.append(i)
        if rows:
            yield rows

    def _transcribe(
        self, waveforms: Sequence[Tensor], search: Strategy, scorers: Sequence[WeightedScorer]
    ) -> list[Transcript | SpeechseqError]:
        features = [self._features(waveform) for waveform in waveforms]
        decoded = decode(self.model, features, search, scorers)
        rate = self.audio.sample_rate
        position = self.model.reduction * self.audio.hop / rate
        return [
            build_transcript(result, self.vocabulary, waveform, rate, position)
            if isinstance(result, Decoded)
            else result
            for waveform, result in zip(waveforms, decoded, strict=True)
        ]

    def _features(self, waveform: Waveform) -> Tensor:
        mel = log_mel(waveform, self.audio)
        return add_deltas(mel, torch.tensor([mel.shape[1]]), self.audio.deltas)[0]


def _refuse(items: Sequence[object]) -> None:
    """Raise one error that lists all errors; it has the type with the lowest exit code."""
    errors = {i: item for i, item in enumerate(items) if isinstance(item, SpeechseqError)}
    if errors:
        listed = [f"sounds[{i}]: {error.problem}" for i, error in errors.items()]
        first = min(errors.values(), key=lambda error: error.exit_code)
        raise type(first)("\n  ".join(listed), first.cure)
