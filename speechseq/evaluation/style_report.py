"""Report of a trained style: style card, control by hand, transfer of references, speakers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speechseq.config import Config
from speechseq.evaluation import style_card
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.level import match_level
from speechseq.evaluation.speaker_table import evaluate_speakers
from speechseq.evaluation.style_directions import UNITS
from speechseq.evaluation.style_transfer import Reference, evaluate_style
from speechseq.evaluation.styled_speech import StyledVoice
from speechseq.evaluation.tts import evaluate_tts, report_tts
from speechseq.file_writing import replace_file
from speechseq.inference.synthesizer import Synthesizer
from speechseq.training.trainer import Summary


class Trained(NamedTuple):
    """Facts about the training of a model with a style, which its report shows; see `report_style`.

    Attributes:
        style: kind of the style, a name such as that of its Config.
        seed: seed of the training.
        settings: all settings of the run.
        summary: summary of the training.
    """

    style: str
    seed: int
    settings: Config
    summary: Summary


def report_style(
    run: Path,
    synthesizer: Synthesizer,
    fitted: Sequence[Reference],
    held_out: Sequence[Reference],
    judge: Judge,
    trained: Trained,
    *,
    texts: int = 10,
) -> dict[str, Any]:
    """Evaluate a style; write RUN/style.json, RUN/report.html and the style card; print one line.

    First, the voice is made as loud as its recordings (`level.match_level`). Its gain and the style
    card (see `style_card`) are written into the folder of the training's checkpoint. A model with
    several speakers speaks with the first one, except in `evaluate_speakers`.

    Args:
        run: folder of the run.
        synthesizer: synthesiser whose model has a style.
        fitted: recordings with texts that regressions and judges are fitted to; see
            `evaluate_style` and, for a model with several speakers, `evaluate_speakers`.
        held_out: other recordings with texts, on which the style is tested.
        judge: recogniser for word error rates.
        trained: description of the training.
        texts: number of held-out texts that are spoken for each setting of the style.

    Returns:
        The content of style.json: the dict of `evaluate_style`, with the keys "style", "seed" and
        "gain" (dB) added and, for several speakers, "speakers", the dict of `evaluate_speakers`.

    Raises:
        ConfigError: the model has no style.
        DataError: there are no recordings, or fewer than two speakers have the recordings that
            `evaluate_speakers` needs.
        MachineError: an extra is not installed, or a file cannot be written.
    """
    table = synthesizer.model.speakers
    names = table.config.names if table is not None else ()
    speaker = names[0] if names else None
    said = [reference.text for reference in held_out][:texts]
    voice = StyledVoice(synthesizer, judge, speaker)
    own = [reference for reference in fitted if speaker in (None, reference.speaker)]
    gain = match_level(voice, own, trained.summary.checkpoint)
    card = style_card.measure(synthesizer, said, judge=judge, speaker=speaker)
    style_card.write(trained.summary.checkpoint, card)
    found = evaluate_style(synthesizer, fitted, held_out, said, judge, speaker=speaker)
    if len(names) > 1:
        found["speakers"] = evaluate_speakers(synthesizer, fitted, held_out, said)
    found |= {"style": trained.style, "seed": trained.seed, "gain": gain}
    replace_file(run / "style.json", (json.dumps(found, indent=1) + "\n").encode())
    recordings = [reference.waveform for reference in held_out][:texts]
    heard = evaluate_tts(synthesizer, said, recordings, judge, speaker=speaker)
    title, text = f"speechseq: the style {trained.style}", _sentences(found)
    report_tts(run, heard, trained.settings, trained.summary, title=title, text=text)
    return found


def _sentences(found: Mapping[str, Any]) -> str:
    """Say the main results in two or three sentences."""
    spans = ", ".join(
        f"{name} {_shown(row['span'])} {UNITS[name]}" for name, row in found["directions"].items()
    )
    errors = ", ".join(
        f"{name} {_shown(found['same_text'][name])}"
        for name in ("f0", "energy", "rate", "ffe", "wer")
    )
    said = f"Along directions of the code: {spans}. Transfer to the same text, errors: {errors}."
    if voices := found.get("speakers"):
        original = _shown(voices["original"])
        said += f" Voices known: {_shown(voices['ours'])} of utterances, originals {original}."
    return said


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
