"""Warm start: a new run begins from a checkpoint's weights, with vocabularies matched by symbol."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from speechseq.audio.mel import AudioConfig
from speechseq.checkpoint import Contents, read
from speechseq.checkpoint.folder import COPY_AGAIN, WEIGHTS
from speechseq.checkpoint.skeleton import differences
from speechseq.config import Config
from speechseq.errors import CheckpointError, ConfigError
from speechseq.models.frame_decoder import FrameDecoderConfig
from speechseq.models.reduction import fit_reduction
from speechseq.models.tacotron import TacotronConfig
from speechseq.ranges import shown
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.fitting import Fitted, Names, fit
from speechseq.training.saving import all_differences, filled

_CURE = "choose a checkpoint of a model with these settings, or set the model as it has it"
_AUDIO_CURE = "give the audio settings these values, or choose a checkpoint of this convention"
_MEL_SCALE = ("model.mel_mean ", "model.mel_scale ")  # they say what the model's mels mean
_SHOWN = 40  # symbols listed in one line
_SETTINGS = 6  # settings listed in one message


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Report of a warm start, returned by `warm_start`: which weights come from a checkpoint.

    Attributes:
        folder: folder of the checkpoint.
        taken: number of entries of the vocabulary, controls included, whose rows were copied.
        new: symbols that keep their random initialisation.
        missing: symbols of the checkpoint that the new vocabulary lacks.
        new_parts: parts and speakers that only the new model has, at their own initial values.
        missing_parts: parts and speakers that only the checkpoint has.
        reduction_factors: (that of the checkpoint, that of the model) if they differ, so that the
            rows of the projection to frames were rearranged; otherwise ().
    """

    folder: Path
    taken: int
    new: tuple[str, ...]
    missing: tuple[str, ...]
    new_parts: tuple[str, ...] = ()
    missing_parts: tuple[str, ...] = ()
    reduction_factors: tuple[int, ...] = ()

    def line(self) -> str:
        """Format the report as one sentence, for the log and the terminal."""
        line = f"weights of {self.folder}: "
        line += f"{self.taken} of {self.taken + len(self.new)} symbols taken over"
        line += f", new: {_listed(self.new)}" if self.new else ""
        line += f", left behind: {_listed(self.missing)}" if self.missing else ""
        line += f"; new parts: {_listed(self.new_parts, ', ')}" if self.new_parts else ""
        left = _listed(self.missing_parts, ", ")
        line += f"; parts left behind: {left}" if self.missing_parts else ""
        return line + self._fitted()

    def _fitted(self) -> str:
        if not self.reduction_factors:
            return ""
        before, after = self.reduction_factors
        return f"; reduction factor {before} fitted to {after}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name as a dict of plain data, for the log."""
        data = dataclasses.asdict(self) | {"folder": str(self.folder)}
        return data | {"left": data.pop("missing")}


def warm_start(
    model: nn.Module,
    vocabulary: Vocabulary,
    checkpoint: Path | str,
    audio: AudioConfig | None,
    *,
    config: Config | None = None,
) -> WarmStart:
    """Load a checkpoint's weights into a new model, in place, also if symbols or speakers differ.

    Tensors are matched by name:

    - Embeddings and output projections have one row per symbol, and tables of speakers one row per
    speaker. These rows are copied by the symbol's or speaker's name; rows that the checkpoint lacks
    keep their initial values.
    - If the models differ in the reduction factor r (frames per decoder step), the rows of the
    decoder's projection are rearranged: the first frames of a step keep their rows, further frames
    repeat those of the last one.
    - A part that the new model has and the checkpoint lacks keeps its initial values, if the model
    lists the part's name in its attribute `optional_parts` (a Tacotron's style, speakers and their
    join).
    - All other tensors are copied and must have the same shape.

    If an error is raised, the model is unchanged.

    Args:
        model: the model to fill.
        vocabulary: symbols of the new model, in the order of its rows.
        checkpoint: a checkpoint or run folder.
        audio: audio settings of the new run; None for a model of text only.
        config: settings that the model was built from; None takes `model.config`.

    Raises:
        CheckpointError: the checkpoint is damaged, of another kind of model or another mel
            convention, or a tensor has another shape.
    """
    config = getattr(model, "config", None) if config is None else config
    stored = read(checkpoint)
    check_settings(stored, config, audio)
    names = Names(vocabulary, speakers_of(None if config is None else config.to_dict()))
    fitted, factors = fitted_weights(stored, model, names, config, audio)
    model.load_state_dict(fitted.weights)
    return WarmStart(
        folder=stored.folder,
        taken=fitted.taken,
        new=fitted.new,
        missing=fitted.missing,
        new_parts=fitted.new_parts,
        missing_parts=fitted.missing_parts,
        reduction_factors=factors,
    )


def check_settings(stored: Contents, config: Config | None, audio: AudioConfig | None) -> None:
    """Check that a checkpoint has the same kind of model and the same mels as a new run.

    Args:
        stored: contents of the checkpoint.
        config: settings of the new model; None skips their check.
        audio: audio settings of the new run; None for a model of text only.

    Raises:
        CheckpointError: another kind of model, or mels of another convention.
    """
    kind = _of_model(stored, "kind")
    if config is not None and kind != (config.kind or None):
        problem = f"{stored.folder}: holds a model of kind {shown(kind)}, not {config.kind!r}"
        raise CheckpointError(problem, "choose a checkpoint of the kind that this recipe trains")
    theirs, ours = (None if x is None else x.to_dict() for x in (stored.audio(), audio))
    wrong = _settings(theirs, ours, "audio")
    for setting in _model_settings(stored, config):
        wrong += [setting] if setting.startswith(_MEL_SCALE) else []
    if wrong:
        problem = f"{stored.folder}: mels of another convention: {_joined(wrong)}"
        raise CheckpointError(problem, _AUDIO_CURE)


def fitted_weights(
    stored: Contents,
    model: nn.Module,
    new: Names,
    config: Config | None,
    audio: AudioConfig | None,
) -> tuple[Fitted, tuple[int, int] | tuple[()]]:
    """Fit a checkpoint's weights to a new model; return them, and reduction factors that differ.

    Args:
        stored: contents of the checkpoint.
        model: the new model, which is not changed.
        new: names of its rows: symbols and speakers.
        config: settings of the new model; None if it has none.
        audio: audio settings of the new run; None for a model of text only.

    Returns:
        the fitted weights, and (factor of the checkpoint, factor of the model) or ().

    Raises:
        CheckpointError: a tensor has another shape.
    """
    weights, factors = dict(stored.weights), _reduction_factors(stored, config)
    old = Names(stored.read_vocabulary(), speakers_of(stored.config["model"]))
    if factors and audio is not None:
        try:
            weights = fit_reduction(weights, factors[0], factors[1], audio.mels)
        except ConfigError as error:
            raise CheckpointError(f"{stored.folder}: {error.problem}", COPY_AGAIN) from None
    fitted = fit(weights, model, old, new)
    if wrong := differences(fitted.weights, model.state_dict()):
        problem = f"{stored.folder}: {WEIGHTS} does not fit the new model: {wrong}"
        if settings := _model_settings(stored, config):
            problem += f"; settings that differ: {_joined(settings)}"
        raise CheckpointError(problem, _CURE)
    return fitted, factors


def _reduction_factors(stored: Contents, config: Config | None) -> tuple[int, int] | tuple[()]:
    """Reduction factors of a Tacotron's checkpoint and of the new model, if they differ."""
    if not isinstance(config, TacotronConfig):
        return ()
    decoder = _of_model(stored, "decoder")
    default = FrameDecoderConfig().reduction_factor
    before = decoder.get("reduction_factor", default) if isinstance(decoder, dict) else default
    after = config.decoder.reduction_factor
    return (before, after) if type(before) is int and before != after else ()


def speakers_of(model: Any) -> tuple[str, ...]:
    """Return the names of a model's speakers from its settings as plain data; () for none."""
    speakers = model.get("speakers") if isinstance(model, dict) else None
    names = speakers.get("names") if isinstance(speakers, dict) else None
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()


def _of_model(stored: Contents, key: str) -> Any:
    model = stored.config["model"]
    return model.get(key) if isinstance(model, dict) else None


def _model_settings(stored: Contents, config: Config | None) -> list[str]:
    """Settings of the model that differ."""
    if config is None:
        return []
    return _settings(filled(stored.config["model"], config), config.to_dict(), "model")


def _settings(found: Any, expected: Any, where: str) -> list[str]:
    """Settings that differ, each with both values, in the form that JSON would give them."""
    found, expected = (json.loads(json.dumps(x)) for x in (found, expected))
    return list(all_differences(found, expected, where))


def _joined(settings: Sequence[str]) -> str:
    more = len(settings) - _SETTINGS
    return "; ".join(settings[:_SETTINGS]) + (f"; and {more} more" if more > 0 else "")


def _listed(names: Sequence[str], between: str = " ") -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    printed = (s if s.isprintable() and not s.isspace() else repr(s) for s in names[:_SHOWN])
    return between.join(printed) + more
