"""Synthesizer: texts to waveforms, with a trained model or one in training."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch

from speechseq import checkpoint as checkpoints
from speechseq.audio.griffin_lim import check_invertible
from speechseq.audio.mel import AudioConfig
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.inference import styling
from speechseq.inference.audio_input import Sound
from speechseq.inference.batch_generation import generate_batch
from speechseq.inference.device import checked_device
from speechseq.inference.speech import Reading, Speech, batches, joined, speech
from speechseq.inference.streaming import Chunk, stream_readings
from speechseq.inference.text_reader import TextReader
from speechseq.inference.tries import WINDOW, Manner, best_tries
from speechseq.inference.vocoding import (
    StreamVocoder,
    VocoderConfig,
    load_vocoder,
    vocode,
)
from speechseq.models.decoder_steps import UNSTEERED, Steering
from speechseq.models.streaming import check_streams
from speechseq.models.style.latent import Latent
from speechseq.models.tacotron import Tacotron, TacotronConfig
from speechseq.models.tacotron_output import Generated
from speechseq.ops.quantize import check_precision
from speechseq.ranges import Count, DrawSeed, Every, checked
from speechseq.text.vocabulary import Vocabulary

_PLAIN, _GRIFFIN_LIM = Manner(), VocoderConfig()
_MOST_SYMBOLS = 3200  # of a batch, padding included; it bounds the memory of a batch


class Synthesizer:
    """Text-to-speech with a trained Tacotron: turns texts into waveforms.

    Make it by `load`; call `synthesize` for whole texts, `pieces` or `stream` for long ones.

    Args:
        model: a trained Tacotron.
        vocabulary: symbols that the model was trained with.
        audio: audio settings that the model was trained with.
        vocoder: settings of Griffin-Lim, which makes waveforms of the mels of `Tacotron.generate`.
        batch_size: maximum number of texts in a batch.
        precision: "float32", "bfloat16" or "int8", the type of the weights in the decoder's loop;
            fewer bits are faster on a CPU.

    Raises:
        ConfigError: the precision is unknown, or Griffin-Lim cannot invert the audio settings.

    Examples:
        >>> synthesizer = Synthesizer.load("runs/demo/voice")
        >>> (speech,) = synthesizer.synthesize(["seven two"], seed=0)
        >>> waveform, seconds, reason = speech.waveform, speech.seconds, speech.finished_reason
    """

    def __init__(
        self,
        model: Tacotron,
        vocabulary: Vocabulary,
        audio: AudioConfig,
        vocoder: VocoderConfig = _GRIFFIN_LIM,
        batch_size: int = 16,
        precision: str = "float32",
    ) -> None:
        check_precision(precision)
        check_invertible(audio)
        self.model = model
        self.vocabulary = vocabulary
        self._texts = TextReader(vocabulary)
        self.audio = audio
        self.vocoder = vocoder
        self.batch_size = checked("batch_size", batch_size, Count)
        self.precision = precision

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        device: str | torch.device = "cpu",
        also: Sequence[type[Config]] = (),
        precision: str = "float32",
    ) -> "Synthesizer":
        """Load the checkpoint of a trained Tacotron.

        Args:
            checkpoint: a checkpoint or run folder.
            device: device to speak on, such as "cpu" or "cuda".
            also: Config classes of your own parts (such as an attention mechanism) in its model.
            precision: "float32", "bfloat16" or "int8" weights in the decoder's loop.

        Raises:
            CheckpointError: the checkpoint is truncated, empty, or of another kind of model.
            ConfigError: the precision or the name of the device is unknown.
            MachineError: this machine does not have the device.
        """
        check_precision(precision)
        where = checked_device(device)
        stored = checkpoints.load(checkpoint, TacotronConfig, also=also)
        vocabulary, audio = stored.vocabulary, stored.audio

        def build() -> Tacotron:
            return stored.model.build(symbols=len(vocabulary), mels=audio.mels, bins=audio.bins)

        model = cast(Tacotron, checkpoints.restore(stored, build)).to(where).eval()
        return cls(model, vocabulary, audio, load_vocoder(stored.folder), precision=precision)

    def read(self, text: str) -> Reading:
        """Prepare a text for the model, as one piece, as in training: normalise and encode it.

        Raises:
            DataError: the text has nothing to say, or symbols that the vocabulary lacks.
        """
        return self._texts.read(text)

    def synthesize(
        self,
        texts: Sequence[str],
        *,
        seed: int | None = None,
        max_steps: int | None = None,
        latent: Latent | None = None,
        speaker: str | None = None,
        safe: bool = False,
        n: int | None = None,
        window: int = WINDOW,
        length_scale: float = 1.0,
    ) -> list[Speech]:
        """Synthesise every text; with a seed, no result depends on the other texts or their order.

        Args:
            texts: texts to speak; long ones are spoken in pieces that are joined.
            seed: seed of the pre-net's dropout and the vocoder's initial phases; None draws one.
            max_steps: maximum number of decoder steps, in addition to the model's own limit.
            latent: one style per text, from `references`, `model.style.sample` or
                `model.style.by_hand`; None takes the mean of all codes in training.
            speaker: name of the voice, for a model with several speakers.
            safe: let attention only move forward, and repeat attempts that fail, at most 4 times.
            n: number of attempts, of which the best is kept; None makes one, or with `safe` more.
            window: with `safe`, number of symbols that attention may look ahead.
            length_scale: factor of the duration, for attention mechanisms that allow it.

        Raises:
            ConfigError: the seed exceeds 64 bits, max_steps is below 1, or the model lacks a style
                or this speaker.
            DataError: texts cannot be spoken; all are listed by index, and no text is synthesised.
            CheckpointError: the model's output is not finite, as after a diverged training.
        """
        if isinstance(texts, str):
            raise ConfigError("texts is one string", "pass a list of texts: [text]")
        readings = styling.styled(self.model, self._texts.read_all(texts), latent, speaker)
        seed, max_steps = _checked(seed, max_steps)
        manner = Manner(safe=safe, n=n, window=window, length_scale=length_scale)
        parts = [part for parts in readings for part in parts]
        # batches of similar lengths: less padding, and fewer rows that wait for the longest
        order = sorted(range(len(parts)), key=lambda i: len(parts[i].ids))
        spoken: dict[int, Speech] = {}
        for places in batches([len(parts[i].ids) for i in order], self.batch_size, _MOST_SYMBOLS):
            rows = [order[place] for place in places]
            batch = self._speak([parts[i] for i in rows], seed, max_steps, manner)
            spoken.update(zip(rows, batch, strict=True))
        found = iter([spoken[i] for i in range(len(parts))])
        return [
            joined(text, [next(found) for _ in parts])
            for text, parts in zip(texts, readings, strict=True)
        ]

    def references(self, sounds: Sequence[Sound], *, seed: int | None = None) -> Latent:
        """Infer one style from each reference recording.

        Args:
            sounds: sound files, or pairs of a waveform (samples,) and its sample rate.
            seed: seed of a draw from the posterior; None takes the posterior's mean.

        Returns:
            The styles as a batch, an argument of `synthesize`.

        Raises:
            ConfigError: the model has no style.
            DataError: a reference is not sound, is silent, or is too short or too long.
        """
        return styling.encode_references(self.model, self.audio, sounds, seed)

    def pieces(
        self,
        text: str,
        *,
        seed: int | None = None,
        max_steps: int | None = None,
        latent: Latent | None = None,
        speaker: str | None = None,
        manner: Manner = _PLAIN,
    ) -> Iterator[Speech]:
        """Synthesise a text of any length, and yield the speech of its pieces, mostly sentences.

        `Speech.with_pause` adds the silence after a piece.

        Args:
            text: text to speak.
            seed: seed of the pre-net's dropout and the vocoder's phases; None draws one.
            max_steps: maximum number of decoder steps of a piece, besides the model's own limit.
            latent: style of the text, a batch of one; None takes the mean of training.
            speaker: name of the voice, for a model with several speakers.
            manner: number of attempts, and control of the attention.

        Raises:
            ConfigError: an argument is out of range, or the model lacks a style or this speaker.
            DataError: the text cannot be spoken; raised before the first piece.
            CheckpointError: the model's output is not finite.
        """
        (parts,) = styling.styled(self.model, [self.readings(text)], latent, speaker)
        return self._pieces(parts, *_checked(seed, max_steps), manner)

    def _pieces(
        self, parts: list[Reading], seed: int, max_steps: int | None, manner: Manner
    ) -> Iterator[Speech]:
        lengths = [len(part.ids) for part in parts]
        for places in batches(lengths, self.batch_size, _MOST_SYMBOLS):
            batch = [parts[place] for place in places]
            yield from self._speak(batch, seed, max_steps, manner)

    def stream(
        self,
        text: str,
        *,
        seed: int | None = None,
        chunk_frames: int = 64,
        max_steps: int | None = None,
        latent: Latent | None = None,
        speaker: str | None = None,
        steering: Steering = UNSTEERED,
    ) -> Iterator[Chunk]:
        """Synthesise a text of any length, and yield its sound in chunks while the decoder runs.

        The joined chunks are the speech of `synthesize`: as many samples, the same mel, and a
        waveform that differs no more than between two seeds of Griffin-Lim.

        Args:
            text: text to speak.
            seed: seed of the pre-net's dropout and the vocoder's phases; None draws one.
            chunk_frames: maximum number of frames of a chunk; the first chunks are shorter.
            max_steps: maximum number of decoder steps of a piece, besides the model's own limit.
            latent: style of the text, a batch of one; None takes the mean of training.
            speaker: name of the voice, for a model with several speakers.
            steering: window and speed of the attention.

        Raises:
            ConfigError: an argument is out of range; the model lacks a style or this speaker, or
                its post-net needs the whole mel, as that of Tacotron does.
            DataError: the text cannot be spoken; raised before the first chunk.
            CheckpointError: the model's output is not finite.
        """
        check_streams(self.model)
        checked("chunk_frames", chunk_frames, Count)
        (parts,) = styling.styled(self.model, [self.readings(text)], latent, speaker)
        seed, max_steps = _checked(seed, max_steps)
        vocoder = functools.partial(StreamVocoder, self.audio, self.vocoder, seed)
        options = self.precision, seed, max_steps, steering
        return stream_readings(self.model, parts, vocoder, chunk_frames, *options)

    def readings(self, text: str) -> list[Reading]:
        """Prepare a text for the model, in pieces (mostly sentences) if it is long.

        Raises:
            DataError: as for `read`, or the text is too long.
        """
        return self._texts.readings(text)

    def _speak(
        self, readings: list[Reading], seed: int, max_steps: int | None, manner: Manner
    ) -> list[Speech]:
        def read(rows: list[int], seed: int, manner: Manner) -> Generated:
            some = [readings[row] for row in rows]
            options = self.precision, seed, max_steps, manner
            return generate_batch(self.model, some, self.vocabulary.pad_id, *options)

        spoken: dict[int, Speech] = {}
        for output, rows in best_tries(read, [len(x.ids) for x in readings], seed, manner):
            waveforms = vocode(output, self.audio, self.vocoder, seed)
            for place, row in enumerate(rows):
                symbols = tuple(map(self._symbol, readings[row].ids))
                spoken[row] = speech(readings[row], symbols, output, waveforms, place, self.audio)
        return [spoken[row] for row in range(len(readings))]

    def _symbol(self, token: int) -> str:
        return self.vocabulary.decode([token]) or self.vocabulary.controls[token]


def _checked(seed: int | None, max_steps: int | None) -> tuple[int, int | None]:
    """Check seed and limit against their ranges; without a seed, draw one."""
    seed = int(torch.randint(2**31, ())) if seed is None else seed
    return checked("seed", seed, DrawSeed), checked("max_steps", max_steps, Every | None)
