"""Log-mels of a corpus, computed once and cached by their audio settings without loss."""

import contextlib
import hashlib
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lhotse import CutSet, MonoCut
from lhotse.array import Array
from lhotse.features.base import FeatureExtractor, register_extractor
from tqdm import tqdm

from speechseq import files
from speechseq.audio import wav
from speechseq.audio.deltas import add_deltas
from speechseq.audio.mel import AudioConfig, frames_of, log_mel
from speechseq.config import Config
from speechseq.corpus import cut_audio
from speechseq.errors import DataError
from speechseq.file_writing import cannot_write, replace_file
from speechseq.shapes import Waveform

_MEL = files.Kind(name="a log-mel", limit=1 << 32)
_FORMAT = 1  # version: increased when a fix of log_mel changes its values


@register_extractor
class LogMelExtractor(FeatureExtractor):
    """Log-mel extractor with lhotse's interface; build it with an AudioConfig.

    lhotse calls `extract`. `compute` uses it without lhotse's feature storage, which only accepts
    round(samples / hop) frames and drops or repeats the last frame on reading: `log_mel` has
    another number of frames.
    """

    name = "speechseq-log-mel"
    config_type = AudioConfig

    @property
    def frame_shift(self) -> float:
        """Seconds from one frame to the next."""
        return float(self.config.hop / self.config.sample_rate)

    def feature_dim(self, sampling_rate: int) -> int:
        """Number of mel bands; it does not depend on the sample rate."""
        return int(self.config.mels)

    def extract(self, samples: np.ndarray | torch.Tensor, sampling_rate: int) -> np.ndarray:
        """Compute a log-mel (frames, mels), float32, of one waveform.

        Args:
            samples: (samples) or (1, samples).
            sampling_rate: samples per second, which must be that of the settings.

        Raises:
            DataError: the rate is another one, or the waveform is shorter than a window.
        """
        if sampling_rate != self.config.sample_rate:
            wanted = self.config.sample_rate
            raise DataError(f"the waveform has {sampling_rate} Hz, the settings {wanted}")
        waveform = torch.as_tensor(samples, dtype=torch.float32).reshape(1, -1)
        return log_mel(waveform, self.config)[0].numpy()


def key(config: Config) -> str:
    """Return a name for settings, made of their hash: 16 hexadecimal digits.

    `compute` names the folder of cached mels with these settings by it.
    """
    plain = json.dumps([_FORMAT, config.to_dict()], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def compute(cuts: CutSet, config: AudioConfig, cache_dir: Path | str) -> CutSet:
    """Compute the log-mel of each lhotse cut and cache it; the result has it as `cut.mel`.

    A mel is stored as float32 in `cache_dir`/<key(config)>/, one file per cut, named by path, size,
    date and span of its sound. So mels are computed only once, and again if the sound or the
    settings change. Files are written atomically, so that an interrupted call can be repeated.
    `load_mel` reads them.

    Args:
        cuts: utterances with sound.
        config: settings of the mels.
        cache_dir: folder of the cache.

    Raises:
        DataError: sounds cannot be used; all of them are listed.
        MachineError: the cache cannot be written.

    Examples:
        >>> from speechseq.audio.mel import AudioConfig
        >>> from speechseq.corpus import ljspeech
        >>> cuts = compute(ljspeech.read("data/mine"), AudioConfig(), "data/cache")
        >>> load_mel(cuts[0], AudioConfig()).shape
        torch.Size([43, 80])
    """
    folder = Path(cache_dir).resolve() / key(config)
    extractor = LogMelExtractor(config)
    _prepare(folder, config)
    done, problems = [], []
    with one_warning():
        for cut in tqdm(cuts, desc="log-mels", unit="cut", disable=None, leave=False):
            try:
                done.append(_with_mel(cut, extractor, folder))
            except DataError as error:
                problems.append(f"{cut.id}: {error.problem}")
    if problems:
        listed = "\n  ".join(problems[:50])
        raise DataError(
            f"{len(problems)} of {len(problems) + len(done)} sounds cannot be used:\n  {listed}",
            "mend them, or leave these cuts out",
        )
    return CutSet.from_cuts(done)


def load_mel(cut: MonoCut, config: AudioConfig) -> torch.Tensor:
    """Load the log-mel (frames, mels), float32, of a cut: from the cache, or computed.

    Args:
        cut: a cut of the result of `compute`; for any other cut the mel is computed.
        config: settings that the mel must have.

    Raises:
        DataError: the cached mel has other settings, or the cache was removed.
    """
    stored = (cut.custom or {}).get("mel")
    if stored is None:
        return log_mel(load_waveform(cut, config), config)[0]
    if Path(stored.storage_path).name != key(config):
        raise DataError(
            f"{cut.id}: its mel was computed with other audio settings",
            "run the recipe anew with these settings: features.compute makes the mels",
        )
    frames(cut, config)  # refuses a mel that is outdated by a change of the cut
    try:
        files.check_regular(Path(stored.storage_path) / stored.storage_key, _MEL)
        return torch.from_numpy(stored.load())
    except (OSError, ValueError, DataError) as error:
        raise DataError(
            f"{cut.id}: its mel is lost: {error}", "run the recipe anew: features.compute makes it"
        ) from None


def load_features(cut: MonoCut, config: AudioConfig) -> torch.Tensor:
    """Load a recogniser's input (frames, features) for a cut: its log-mel, followed by deltas.

    `config` are the audio settings; `config.deltas` is the number of derivatives, 0 for none.

    Raises:
        DataError: see `load_mel`.
    """
    mel = load_mel(cut, config)
    if not config.deltas:
        return mel
    return add_deltas(mel[None], torch.tensor([len(mel)]), config.deltas)[0]


def load_waveform(cut: MonoCut, config: AudioConfig) -> Waveform:
    """Load the sound of a cut (1, samples) at the sample rate of `config`, mixed down to mono.

    Raises:
        DataError: see `cut_audio.load`.
    """
    return cut_audio.load(cut, config.sample_rate)


def frames(cut: MonoCut, config: AudioConfig) -> int:
    """Return the number of frames of a cut's mel, without reading the sound.

    Args:
        cut: utterance, with or without a cached mel.
        config: settings of the mel.

    Raises:
        DataError: the cached mel was made from another part of the recording, or at another speed.
    """
    told = frames_of(cut_audio.samples(cut, config.sample_rate), config)
    stored = (cut.custom or {}).get("mel")
    if stored is not None and stored.shape[0] != told:
        raise DataError(
            f"{cut.id}: its mel has {stored.shape[0]} frames, its sound {told}",
            "call features.compute after the cut is trimmed or its speed changed",
        )
    return told


@contextlib.contextmanager
def one_warning() -> Iterator[None]:
    """Context manager: many warnings that files were mixed down or resampled become one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", wav.WavWarning)
        yield
    ours = [str(w.message) for w in caught if issubclass(w.category, wav.WavWarning)]
    for other in (w for w in caught if not issubclass(w.category, wav.WavWarning)):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    if ours:
        more = f" (and {len(ours) - 1} more such)" if len(ours) > 1 else ""
        warnings.warn(ours[0] + more, wav.WavWarning, stacklevel=4)


def _with_mel(cut: MonoCut, extractor: LogMelExtractor, folder: Path) -> MonoCut:
    name = _name(cut)
    path = folder / name
    shape = _stored_shape(path)
    if shape is None:
        waveform = load_waveform(cut, extractor.config)
        mel = extractor.extract(waveform, extractor.config.sample_rate)
        _write(path, mel)
        shape = list(mel.shape)
    array = Array("numpy_files", str(folder), name, shape)
    return cut.with_custom("mel", array)


def _name(cut: MonoCut) -> str:
    """File name of a cut's mel; it changes with everything that changes the sound."""
    speeds, source = cut_audio.speeds(cut), cut_audio.source(cut)
    try:
        stat = source.stat()
    except OSError as error:
        raise DataError(f"{source}: {error.strerror}") from None
    facts: list[Any] = [str(source), stat.st_size, stat.st_mtime_ns, cut.start, cut.duration]
    facts += speeds  # cuts of the original speed keep their names from before speeds existed
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return f"{digest[:2]}/{digest[2:26]}.npy"


def _stored_shape(path: Path) -> list[int] | None:
    """Shape of a stored array, from its header; None if the file is missing or damaged."""
    try:
        files.check_regular(path, _MEL)
        return list(np.load(path, mmap_mode="r", allow_pickle=False).shape)
    except (OSError, ValueError, DataError):
        return None


def _prepare(folder: Path, config: AudioConfig) -> None:
    _make(folder)
    replace_file(folder / "audio.json", json.dumps(config.to_dict(), indent=1).encode())


def _write(path: Path, mel: np.ndarray) -> None:
    _make(path.parent)
    # np.save to a file hides the reason why a disk refuses the data
    content = io.BytesIO()
    np.save(content, mel, allow_pickle=False)
    replace_file(path, content.getbuffer())


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None
