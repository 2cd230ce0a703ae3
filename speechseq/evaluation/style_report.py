"""Report of a trained style: its card, what can be set and transferred, its voices, a page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speechseq.config import Config
from speechseq.evaluation import style_card
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.speaker_table import evaluate_speakers
from speechseq.evaluation.style_directions import UNITS
from speechseq.evaluation.style_transfer import Reference, evaluate_style
from speechseq.evaluation.tts import evaluate_tts, report_tts
from speechseq.file_writing import replace_file
from speechseq.inference.synthesizer import Synthesizer
from speechseq.training.trainer import Summary


class Trained(NamedTuple):
    """A trained model with a style: its style's name, seed, settings, and the training's end."""

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
    """Evaluate a style; write its card, RUN/style.json and RUN/report.html; print one line.

    The voice is the first of the model's speakers.

    Args:
        fitted, held_out: as `evaluate_style` takes them; of several voices, as `evaluate_speakers`.
        texts: number of held-out texts that are spoken for each setting of the style.

    Returns:
        What style.json holds: "style", "seed", what `evaluate_style` returns and, for several
        speakers, "speakers", what `evaluate_speakers` does.

    Raises:
        ConfigError: the model has no style.
        DataError: no references, or of a voice fewer than its judge needs.
        MachineError: an extra is not installed, or a file cannot be written.
    """
    table = synthesizer.model.speakers
    names = table.config.names if table is not None else ()
    speaker = names[0] if names else None
    said = [reference.text for reference in held_out][:texts]
    card = style_card.measure(synthesizer, said, judge=judge, speaker=speaker)
    style_card.write(trained.summary.checkpoint, card)
    found = evaluate_style(synthesizer, fitted, held_out, said, judge, speaker=speaker)
    if len(names) > 1:
        found["speakers"] = evaluate_speakers(synthesizer, fitted, held_out, said)
    found |= {"style": trained.style, "seed": trained.seed}
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
