"""Effect of each of espeak's knobs on the measure that it is for."""

import prosody_knobs
import pytest

from speechseq.corpus import known_prosody

pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
TEXTS = ["three one four seven two"]


@pytest.mark.parametrize(
    ("knob", "measure", "low", "high"),
    [
        ("pitch", "f0", 11.5, 15.0),
        ("range", "spread", 1.5, 5.0),
        ("rate", "rate", 1.2, 1.8),
        ("volume", "energy", 13.5, 15.0),
    ],
)
def test_each_knob_moves_its_measure(knob: str, measure: str, low: float, high: float) -> None:
    found = prosody_knobs.effect(knob, TEXTS, known_prosody.VOICES[1:9:3], settings=5)
    assert low < found[measure]["change"] < high
    assert found[measure]["rho"] >= 0.98
    if knob == "volume":  # a gain moves nothing else
        assert abs(found["f0"]["change"]) < 0.2
        assert abs(found["spread"]["change"]) < 0.4
        assert abs(found["rate"]["change"]) < 0.05
