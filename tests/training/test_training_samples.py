"""Samples: pictures and sounds show what their names say."""

from pathlib import Path

import torch

from speechseq.inference.transcript import Transcript
from speechseq.pictures import alignment_picture
from speechseq.training import samples
from speechseq.training.samples import Sample


def test_a_transcripts_picture_has_time_to_the_right_and_names_what_was_written(
    tmp_path: Path,
) -> None:
    alignment, symbols = torch.rand(3, 40), ("h", "i", "<eos>")
    transcript = Transcript(
        text="hi",
        log_prob=0.0,
        finished=True,
        words=(),
        tokens=(1, 2),
        token_confidences=(1.0, 1.0),
        symbols=symbols,
        alignment=alignment,
        seconds_per_position=0.08,
        n_best=(),
        seconds=3.2,
    )
    assert samples.write(tmp_path, 5, [Sample.of_transcript("dev0", transcript)]) == []
    (path,) = (tmp_path / "pictures").iterdir()
    wanted = alignment_picture(alignment.T, symbols, "update 5 · hi", "position in the sound")
    assert path.read_bytes() == wanted
