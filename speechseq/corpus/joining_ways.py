"""Ways of joining recordings of words, as JoiningConfigs for training and for tests."""

import dataclasses

from speechseq.corpus.joining import JoiningConfig, Span

OWN = JoiningConfig()  # noise as loud as the words' own background, short pauses
_PAUSES, _EDGES, _EQUAL = (0.0, 0.6), (0.0, 1.0), (0.0, 0.0)

LEARNED = (
    OWN,
    OWN,
    JoiningConfig(pause=(0.0, 0.0), gain=_EQUAL),
    JoiningConfig(pause=(0.0, 0.0), mixed=True),
    JoiningConfig(pause=(0.0, 0.3), background="silence", gain=_EQUAL),
    JoiningConfig(pause=(0.0, 0.3), edges=_EQUAL, background="silence"),
    JoiningConfig(pause=_PAUSES, edges=_EDGES, background="silence", offset=(-0.03, 0.03)),
    JoiningConfig(pause=_PAUSES, edges=_EDGES, background="noise", level=(-80.0, -30.0)),
    JoiningConfig(pause=_PAUSES, edges=_EDGES, background="room", clicks=0.5),
    JoiningConfig(pause=_PAUSES, edges=_EDGES, background="silence", gain=(-10.0, 0.0), mixed=True),
)


def learned(snr: Span | None = None) -> tuple[JoiningConfig, ...]:
    """Return the ways of joining words that a recogniser of digit strings is trained on.

    Args:
        snr: range of signal-to-noise ratios in dB: each way is then there twice, without and with
            added noise. None for no noise.
    """
    noisy = [dataclasses.replace(way, snr=snr) for way in LEARNED] if snr else []
    return (*LEARNED, *noisy)


def _silence(pause: Span, edges: Span | None = None, mixed: bool = False) -> JoiningConfig:
    return JoiningConfig(pause=pause, edges=edges, background="silence", gain=_EQUAL, mixed=mixed)


def _noise(level: float) -> JoiningConfig:
    return JoiningConfig(pause=(0.0, 0.3), background="noise", level=(level, level), gain=_EQUAL)


TESTED = {
    "own": OWN,
    "no pause": JoiningConfig(pause=(0.0, 0.0), gain=_EQUAL),
    "silence 0-0.3 s": _silence((0.0, 0.3)),
    "silence 0.1-0.3 s": _silence((0.1, 0.3)),
    "silence 0.1-0.6 s": _silence((0.1, 0.6)),
    "silence, edges 1 s": _silence((0.1, 0.3), edges=(1.0, 1.0)),
    "silence, no edges": _silence((0.1, 0.3), edges=(0.0, 0.0)),
    "noise -70 dB": _noise(-70.0),
    "noise -50 dB": _noise(-50.0),
    "noise -35 dB": _noise(-35.0),
    "another room": JoiningConfig(pause=(0.0, 0.6), edges=(0.0, 1.0), background="room"),
    "gains to -12 dB": JoiningConfig(gain=(-12.0, 0.0)),
    "offset 0.05": JoiningConfig(offset=(0.05, 0.05)),
    "clicks": JoiningConfig(clicks=1.0),
    "mixed speakers": JoiningConfig(mixed=True),
    "mixed, silence": _silence((0.1, 0.3), mixed=True),
}
