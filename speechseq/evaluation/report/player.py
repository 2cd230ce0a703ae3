"""Speech on a page: an audio player, with the transcript and its marked errors below."""

import base64
import dataclasses
import io
from collections.abc import Iterable, Sequence
from html import escape

import soundfile
from jaxtyping import Float
from torch import Tensor

from speechseq.inference.wer.edits import Edit

_HEAVY = 1 << 22  # samples in one table above which FLAC, half the size, takes the place of WAV
MARKS = (
    "Errors are marked: <mark><s>asked</s> heard</mark>, a word missed "
    "<mark><s>asked</s></mark>, a word too many <mark>+ heard</mark>."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Take:
    """Sound on a page of a report, with a transcript of it.

    Attributes:
        waveform: (samples,) in [-1, 1].
        sample_rate: samples per second.
        edits: edits from the reference text to the transcript; None if there is no transcript.
    """

    waveform: Float[Tensor, " samples"]
    sample_rate: int
    edits: tuple[Edit, ...] | None = None


def form_of(takes: Iterable[Take]) -> str:
    """Choose the format of the sounds of a page: "FLAC" if they are long altogether, else "WAV"."""
    return "FLAC" if sum(len(take.waveform) for take in takes) > _HEAVY else "WAV"


def take_html(take: Take, name: str, form: str) -> str:
    """Return the HTML of a player for a sound, with the transcript below it.

    Args:
        take: the sound.
        name: label of the player for screen readers.
        form: format of the embedded sound, "WAV" or "FLAC".
    """
    words = "" if take.edits is None else f'<div class="hyp">{marked_html(take.edits)}</div>'
    return player_html(take, name, form) + words


def player_html(take: Take, name: str, form: str) -> str:
    """Return the HTML of a player for a sound, without its transcript.

    Args:
        take: the sound.
        name: label of the player for screen readers.
        form: format of the embedded sound, "WAV" or "FLAC".
    """
    sound = base64.b64encode(_sound(take, form)).decode()
    return (
        f'<audio controls preload="metadata" aria-label="{escape(name)}" '
        f'src="data:audio/{form.lower()};base64,{sound}"></audio>'
    )


def marked_html(edits: Sequence[Edit]) -> str:
    """Return the HTML of a transcript whose errors are marked, built from its edits."""
    return " ".join(map(_edit, edits)) or "<mark>nothing</mark>"


def _edit(edit: Edit) -> str:
    ref, hyp = escape(edit.ref), escape(edit.hyp)
    return {
        "equal": hyp,
        "substitute": f"<mark><s>{ref}</s> {hyp}</mark>",
        "delete": f"<mark><s>{ref}</s></mark>",
        "insert": f"<mark>+ {hyp}</mark>",
    }[edit.kind]


def _sound(take: Take, form: str) -> bytes:
    buffer = io.BytesIO()
    samples = take.waveform.detach().float().cpu().clamp(-1, 1).numpy()
    soundfile.write(buffer, samples, take.sample_rate, format=form, subtype="PCM_16")
    return buffer.getvalue()
