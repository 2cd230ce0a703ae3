"""Presets: settings of known systems, as differences from the defaults of AudioConfig."""

from typing import Any

_SPEECH_16K: dict[str, Any] = {
    "sample_rate": 16000,
    "n_fft": 512,
    "hop": 160,
    "window": 400,
    "mel_scale": "htk",
    "area_norm": False,
    "power": 2,
    "floor": 1e-8,
}

PRESETS: dict[str, dict[str, Any]] = {
    # NVIDIA's Tacotron 2 and WaveGlow; SpeechBrain, NeMo and the public vocoders follow it
    "nvidia": {},
    # HiFi-GAN: no centring, one frame fewer
    "hifigan": {"centred": False, "magnitude_epsilon": 1e-9},
    # ESPnet also normalises by the corpus' mean and variance
    "espnet": {"fmin": 80.0, "fmax": 7600.0, "log": "log10", "floor": 1e-10},
    # keithito's and r9y9's Tacotron 1: levels from -100 dB to 0 dB become 0 to 1
    "keithito": {
        "sample_rate": 20000,
        "n_fft": 2048,
        "hop": 250,
        "window": 1000,
        "fmax": 10000.0,
        "pre_emphasis": 0.97,
        "log": "db",
        "reference_level": 20.0,
        "lowest_level": -100.0,
    },
    # Shen 2018 gives neither n_fft nor the filters: we take the next power of two, and filters of
    # peak 1, because with filters of equal area its floor of .01 would cut off much of the speech
    "tacotron2_paper": {
        "sample_rate": 24000,
        "n_fft": 2048,
        "hop": 300,
        "window": 1200,
        "fmin": 125.0,
        "fmax": 7600.0,
        "mel_scale": "htk",
        "area_norm": False,
        "floor": 0.01,
    },
    # Chan 2015 gives 40 log-mels, windows of 25 ms every 10 ms; we take HTK's scale, filters of
    # peak 1, and as floor the level of 16-bit rounding noise, so that digital silence is no outlier
    "las": {**_SPEECH_16K, "mels": 40},
    # Park 2019: 80 log-mels, deltas and double deltas
    "specaugment": {**_SPEECH_16K, "mels": 80, "deltas": 2},
    # Kaldi's compute-fbank-feats with 80 bins and no dither, 16-bit samples
    "kaldi": {
        "sample_rate": 16000,
        "n_fft": 512,
        "hop": 160,
        "window": 400,
        "window_shape": "povey",
        "centred": False,
        "snip_edges": True,
        "gain": 32768.0,
        "pre_emphasis": 0.97,
        "pre_emphasis_by_frame": True,
        "remove_mean": True,
        "fmin": 20.0,
        "mel_scale": "htk",
        "triangles": "mel",
        "area_norm": False,
        "power": 2,
        "floor": 2.0**-23,
    },
}
