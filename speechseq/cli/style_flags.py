"""Flags of `speechseq synthesize` for styles and speakers."""

import argparse
import dataclasses
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechseq.errors import ConfigError
from speechseq.ranges import Finite, checked

if TYPE_CHECKING:
    import torch

    from speechseq.inference.synthesizer import Synthesizer
    from speechseq.models.style.latent import Latent
    from speechseq.models.style.style import Style

_KINDS = ("style_from", "style", "style_move", "style_sample")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags for styles and speakers to the parser of `speechseq synthesize`."""
    group = parser.add_argument_group("style", "for models with a style; see `speechseq info DIR`")
    group.add_argument(
        "--style-from", type=Path, metavar="REF.wav", help="speak as this recording is spoken"
    )
    group.add_argument(
        "--style",
        metavar="KNOBS",
        help="set knobs, such as 3=.6,7=.4: dimensions of the code (others stay at the mean), or "
        "weights of tokens, which sum to 1",
    )
    group.add_argument(
        "--style-move",
        metavar="KNOBS",
        help="move dimensions from the mean, in standard deviations: 2=+1.5",
    )
    group.add_argument(
        "--style-sample", action="store_true", help="draw a style for each text, by --seed"
    )
    group.add_argument(
        "--style-scale", type=float, default=1.0, metavar="X", help="strength of the style (1)"
    )
    group.add_argument("--speaker", metavar="NAME", help="voice of a model of several")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """Style and speaker that the flags of `speechseq synthesize` ask for, before a model is loaded.

    `of` makes the styles with a model. A knob is a dimension of the style's code, or a style token,
    given by its index.

    Attributes:
        reference: sound file whose style is imitated.
        knobs: value of each knob (`--style`).
        moves: change of each knob in standard deviations (`--style-move`).
        sample: draw a random style for each text.
        scale: factor of the style's vector; 1 leaves it as it is.
        speaker: name of the voice.
    """

    reference: Path | None
    knobs: dict[int, float] | None
    moves: dict[int, float] | None
    sample: bool
    scale: float
    speaker: str | None

    def of(self, synthesizer: "Synthesizer", items: int, seed: int) -> "Styles":
        """Make the styles of several texts with the model of a synthesiser.

        Args:
            synthesizer: the synthesiser.
            items: number of texts.
            seed: seed of random styles.

        Raises:
            ConfigError: the model has no style, no speakers, or not the knobs that the flags name.
            DataError: a reference is not usable as speech.
        """
        from speechseq.inference import styling

        styling.speaker_id(synthesizer.model, self.speaker)
        return Styles(latent=self._latent(synthesizer, items, seed), speaker=self.speaker)

    def _latent(self, synthesizer: "Synthesizer", items: int, seed: int) -> "Latent | None":
        from speechseq.models import conditioning

        plain = self.reference is None and self.knobs is None and self.moves is None
        if plain and not self.sample and self.scale == 1.0:
            return None
        style = conditioning.own_style(synthesizer.model.style)
        if self.reference is not None:
            _tell_about(self.reference, synthesizer.audio.sample_rate)
            latent = synthesizer.references([self.reference])
        elif self.sample:
            latent = style.sample(items, seed=seed)
        else:
            latent = style.by_hand(self._code(style).unsqueeze(0))
        rows = items // len(latent.vector)
        code, vector = (x.repeat_interleave(rows, 0) for x in latent[:2])
        return latent._replace(code=code, vector=vector * self.scale, posterior=None)

    def _code(self, style: "Style") -> "torch.Tensor":
        code = style.mean_code.clone()
        tokens = len(style.code_shape) == 2
        if self.moves is not None:
            if tokens:
                problem = "--style-move: weights of tokens have no standard deviation to move by"
                raise ConfigError(problem, "set them: --style 0=.5,3=.5")
            for knob, move in _within(self.moves, style, "--style-move").items():
                code[knob] += move * style.code_sd[knob]
        if self.knobs is not None:
            if tokens:
                code = code.new_zeros(style.code_shape)
            for knob, value in _within(self.knobs, style, "--style").items():
                code[..., knob] = value
        return code


@dataclasses.dataclass(kw_only=True)
class Styles:
    """Styles and speaker of all texts of a command; `take` gives those of the next texts.

    Attributes:
        latent: styles, one row per text; None for the default style.
        speaker: name of the voice; None for a model of one voice.
        taken: number of texts whose styles have been consumed.
    """

    latent: "Latent | None"
    speaker: str | None
    taken: int = 0

    def take(self, texts: int) -> dict[str, Any]:
        """Return the arguments latent and speaker of `Synthesizer.synthesize` for the next texts.

        `texts` is their number.
        """
        rows = slice(self.taken, self.taken + texts)
        self.taken += texts
        latent = self.latent
        if latent is not None:
            latent = latent._replace(code=latent.code[rows], vector=latent.vector[rows])
        return {"latent": latent, "speaker": self.speaker}


def read(arguments: argparse.Namespace) -> Wanted:
    """Read the flags for style and speaker from the parsed arguments of the command.

    Raises:
        ConfigError: several flags choose a style, a knob is named twice, or a value is not a
            number.
    """
    given = [f"--{kind.replace('_', '-')}" for kind in _KINDS if getattr(arguments, kind)]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: a style is chosen in one way", "give one")
    return Wanted(
        reference=arguments.style_from,
        knobs=_knobs("--style", arguments.style),
        moves=_knobs("--style-move", arguments.style_move),
        sample=arguments.style_sample,
        scale=checked("--style-scale", arguments.style_scale, Finite),
        speaker=arguments.speaker,
    )


def _knobs(flag: str, text: str | None) -> dict[int, float] | None:
    """Parse "3=.6,7=.4"."""
    if text is None:
        return None
    found: dict[int, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            knob, number = int(name), float(value)
        except ValueError:
            knob, number = -1, math.nan
        if knob < 0 or not math.isfinite(number):
            problem = f"{flag}: {part.strip()[:40]!r} is no knob and number"
            raise ConfigError(problem, "write knobs and numbers: 3=.6,7=.4")
        if knob in found:
            raise ConfigError(f"{flag}: knob {knob} is named twice", "name it once")
        found[knob] = number
    return found


def _within(knobs: dict[int, float], style: "Style", flag: str) -> dict[int, float]:
    most = style.code_shape[-1] - 1
    for knob in knobs:
        if knob > most:
            raise ConfigError(f"{flag}: there is no knob {knob}", f"use 0 to {most}")
    return knobs


def _tell_about(reference: Path, sample_rate: int) -> None:
    """Warn of a reference that is resampled, or that has no voiced frame."""
    from speechseq.audio import wav
    from speechseq.audio.prosody import prosody

    waveform, rate = wav.load(reference)
    if rate != sample_rate:
        warnings.warn(f"{reference}: resampled from {rate:,} to {sample_rate:,} Hz", stacklevel=2)
    long_enough = waveform.shape[1] > rate // 5  # shorter ones are refused, or hardly measured
    if long_enough and not bool(prosody(waveform, rate).voiced.any()):
        warnings.warn(f"{reference}: nothing is voiced, so its F0 is undefined", stacklevel=2)
