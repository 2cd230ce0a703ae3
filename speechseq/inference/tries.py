"""Several readings of one text: the best by its alignment, or another where one has slipped."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from speechseq.inference.slips import alignment_score, slips
from speechseq.models.decoder_steps import Steering
from speechseq.models.tacotron_output import Generated
from speechseq.ranges import Count, checked

WINDOW = 4  # positions ahead
RETRIES = 4
_SEED_STEP = 0x9E3779B97F4A7C15  # far from the seeds that people count up


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manner:
    """Options of synthesis: number of attempts, and control of the attention.

    The fields are arguments of `Synthesizer.synthesize`; `Synthesizer.pieces` takes a Manner.

    Args:
        safe: attention may only move forward, within `window`. An attempt that skips or repeats
            words, judged by its alignment, or that ends at the limit of steps, is repeated with
            other seeds, `RETRIES` (4) times at most, each time with a window that is one position
            smaller.
        n: make exactly n attempts for every text and keep the one with the best alignment score;
            None makes one, or with `safe` as many as needed.
        window: with `safe`, number of positions (symbols) that attention may look ahead of the
            furthest one it has reached.
        length_scale: factor of the duration, for attention mechanisms whose speed can be set (GMM).

    Raises:
        ConfigError: n or window is below 1, or length_scale beyond 0.1 to 10.
    """

    safe: bool = False
    n: int | None = None
    window: int = WINDOW
    length_scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        checked("n", self.n, Count | None)
        Steering(self.window, self.length_scale)

    @property
    def tries(self) -> int:
        """Largest number of attempts for a text."""
        return self.n or (1 + RETRIES if self.safe else 1)


class Kept(NamedTuple):
    """Best attempts that `best_tries` has kept, for some of the texts.

    Attributes:
        output: output of the model, with a row for each of these texts.
        rows: index of the text of each row.
    """

    output: Generated
    rows: list[int]


def best_tries(
    read: Callable[[list[int], int, Manner], Generated],
    lengths: Sequence[int],
    seed: int,
    manner: Manner,
) -> list[Kept]:
    """Synthesise texts several times with different seeds, and keep the best attempt of each text.

    Attempts are compared by `alignment_score`.

    Args:
        read: function that takes indices of texts, a seed and a Manner, and returns the model's
            output for a batch of these texts.
        lengths: number of tokens of each text.
        seed: seed of the first attempt; the others have seeds made from it.
        manner: number of attempts, and when to stop.

    Returns:
        The kept attempts; together they have each text once, in batches of one or of all texts.
    """
    rows = list(range(len(lengths)))
    if manner.tries == 1:
        return [Kept(read(rows, seed, manner), rows)]
    best: dict[int, tuple[float, Generated]] = {}
    for attempt in range(manner.tries):
        other = (seed + attempt * _SEED_STEP) % 2**64 if attempt else seed
        output = read(rows, other, _narrower(manner, attempt))
        poor = []
        for place, row in enumerate(rows):
            one = _row(output, place, lengths[row])
            alignment = one.alignment[0].float().cpu()
            score = alignment_score(alignment)
            if row not in best or score > best[row][0]:
                best[row] = score, one
            if one.finished_reason == ("limit",) or slips(alignment):
                poor.append(row)
        rows = poor if manner.n is None else rows
        if not rows:
            break
    return [Kept(output, [row]) for row, (_, output) in best.items()]


def _narrower(manner: Manner, attempt: int) -> Manner:
    """The manner of a repeated attempt, whose attention looks less far ahead and so skips less."""
    if manner.n is not None:
        return manner
    return dataclasses.replace(manner, window=max(1, manner.window - attempt))


def _row(output: Generated, place: int, tokens: int) -> Generated:
    """One row of an output, without its padding."""
    one, linear = slice(place, place + 1), output.log_magnitude
    frames, steps = int(output.frame_lengths[place]), int(output.step_lengths[place])
    return dataclasses.replace(
        output,
        mel_after=output.mel_after[one, :frames],
        log_magnitude=None if linear is None else linear[one, :frames],
        frame_lengths=output.frame_lengths[one],
        step_lengths=output.step_lengths[one],
        alignment=output.alignment[one, :steps, :tokens],
        stop_logits=output.stop_logits[one, :steps],
        finished_reason=output.finished_reason[one],
        latent=None,
    )
