"""Samples of a model in training, speech or transcripts, for a Trainer's argument `samples`."""

from collections.abc import Sequence
from typing import Any

from speechseq.audio.mel import AudioConfig
from speechseq.evaluation.asr import Item
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.transcriber import Transcriber
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.evaluator import MakeSamples
from speechseq.training.samples import Sample


def spoken(
    vocabulary: Vocabulary,
    audio: AudioConfig,
    texts: Sequence[str],
    name: str = "dev",
    *,
    speaker: str | None = None,
) -> MakeSamples:
    """Make a function, for `samples` of a Trainer, that speaks texts with a Tacotron in training.

    It takes the model and returns a `Sample` for each text. The seed is fixed, so that samples of
    different updates are comparable.

    Args:
        vocabulary: vocabulary of the model.
        audio: audio settings of the model.
        texts: texts to speak.
        name: samples are named <name>0, <name>1, ….
        speaker: name of the voice, for a model with several speakers.
    """

    def samples(model: Any) -> list[Sample]:
        synthesizer = Synthesizer(model, vocabulary, audio)
        speech = synthesizer.synthesize(texts, seed=0, speaker=speaker)
        return [Sample.of(f"{name}{i}", item) for i, item in enumerate(speech)]

    return samples


def transcribed(
    vocabulary: Vocabulary, audio: AudioConfig, items: Sequence[Item], name: str = "dev"
) -> MakeSamples:
    """Make a function, for `samples` of a Trainer, that transcribes sounds with a LAS in training.

    It takes the model and returns a `Sample` for each sound, by greedy search.

    Args:
        vocabulary: vocabulary of the model.
        audio: audio settings of the model.
        items: sounds to transcribe.
        name: samples are named <name>0, <name>1, ….
    """

    def samples(model: Any) -> list[Sample]:
        sounds = [(item.waveform, audio.sample_rate) for item in items]
        found = Transcriber(model, vocabulary, audio).transcribe(sounds, strategy=Greedy())
        return [Sample.of_transcript(f"{name}{i}", item) for i, item in enumerate(found)]

    return samples
