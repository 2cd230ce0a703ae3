"""Evaluation of the speech chain: a recogniser transcribes the speech of a synthesiser."""

from pathlib import Path

from speechseq.corpus import features, spoken_digits
from speechseq.corpus.speech_chain import SpeechChainConfig
from speechseq.evaluation.asr import ASREvaluation
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.report.page import Figure, Report, write
from speechseq.evaluation.tts import TTSEvaluation, evaluate_tts
from speechseq.inference.synthesizer import Synthesizer
from speechseq.training.log import curves
from speechseq.training.trainer import Summary

VOICE, WORDS_PER_MINUTE = "en-us", 150  # of the recordings in recipes/tts/spoken_digits.py


def evaluate_voice(config: SpeechChainConfig, folder: Path) -> TTSEvaluation:
    """Evaluate a synthesiser of digit strings: word error rates by pocketsphinx.

    espeak speaks the same strings, as recordings to compare with.

    Args:
        config: checkpoint of the synthesiser (`voice`), and number and seed of the strings.
        folder: folder for espeak's recordings; made if it is missing.

    Raises:
        CheckpointError, DataError, MachineError: see `Synthesizer.load` and `evaluate_tts`.
    """
    synthesizer = Synthesizer.load(config.voice)
    test = spoken_digits.make(
        folder,
        utterances=config.voice_strings,
        seed=config.voice_seed + 1,
        voices=(VOICE,),
        rates=(WORDS_PER_MINUTE,),
    )
    recordings = [features.load_waveform(cut, synthesizer.audio) for cut in test]
    texts = [cut.supervisions[0].text for cut in test]
    return evaluate_tts(synthesizer, texts, recordings, Judge.digits())


def report_chain(
    run: Path,
    voice: TTSEvaluation,
    unseen: ASREvaluation,
    chain: ASREvaluation,
    *,
    settings: SpeechChainConfig,
    training: Summary,
    seconds: float,
) -> None:
    """Write RUN/report.html about a synthesiser and a recogniser; print a line per evaluation.

    Args:
        run: folder of the recogniser's run.
        voice: evaluation of the synthesiser.
        unseen: evaluation of the recogniser on new strings by espeak's voices.
        chain: evaluation of the recogniser on the synthesiser's speech.
        settings: all settings of the run, which the page shows.
        training: summary of the recogniser's training.
        seconds: duration of the recogniser's run, including evaluation.

    Raises:
        MachineError: the page cannot be written.
    """
    path, minutes = run / "report.html", f"{seconds / 60:.1f} min"
    report = Report(
        title="speechseq: a voice, and ears for it",
        summary="A LAS learned to write down digits from "
        f"{len(settings.voices)} voices of espeak, and hears a Tacotron 2 say some. "
        "Neither met the strings below before.",
        sections=(
            voice.section(curves=curves(Path(settings.voice)), settings=settings.to_dict()),
            unseen.section(
                title="Written down: strings that it never heard",
                figures=[Figure(label="time", value=minutes, note="the ears")],
                curves=curves(run),
            ),
            chain.section(title="The speech chain: our ears hear our voice"),
        ),
    )
    write(path, report)
    print(f"voice: {voice.line()}")
    print(f"unseen strings: {unseen.line()}")
    print(f"the voice, heard by our own ears: {chain.line()}")
    print(f"{path}: {seconds:.0f} s, {training.updates} updates")
