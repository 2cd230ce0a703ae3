"""Corpora without the silence before the first and after the last sound of each recording."""

import dataclasses

from lhotse import CutSet, MonoCut
from tqdm import tqdm

from speechseq.audio.trim import sound_span
from speechseq.corpus import cut_audio, features
from speechseq.errors import DataError


def trim_cuts(cuts: CutSet, *, threshold: float = 40.0, margin: float = 0.05) -> CutSet:
    """Cut off the silence at both ends of each lhotse cut; pauses inside stay.

    No file is written or changed: only start and duration of the cuts and of their supervisions are
    new. `features.compute`, called afterwards, makes mels of the shorter sounds. Every sound is
    read once. A sound that cannot be read is left as it is, since `features.compute` lists all of
    them.

    Args:
        cuts: cuts without mels.
        threshold: dB below the loudest part at which sound becomes silence, see
            `audio.trim.trim_silence`.
        margin: seconds of silence that are kept at both ends.

    Raises:
        ConfigError: a number out of range.
    """
    with features.one_warning():
        bar = tqdm(cuts, desc="silence", unit="cut", disable=None, leave=False)
        return CutSet.from_cuts(_trimmed(cut, threshold, margin) for cut in bar).to_eager()


def _trimmed(cut: MonoCut, threshold: float, margin: float) -> MonoCut:
    try:
        waveform = cut_audio.load(cut, cut.sampling_rate)
    except DataError:
        return cut
    first, last = sound_span(waveform, cut.sampling_rate, threshold=threshold, margin=margin)
    if last - first == waveform.shape[1]:
        return cut
    duration = (last - first) / cut.sampling_rate
    said = [dataclasses.replace(s, start=0.0, duration=duration) for s in cut.supervisions]
    start = cut.start + first / cut.sampling_rate
    return dataclasses.replace(cut, start=start, duration=duration, supervisions=said)
