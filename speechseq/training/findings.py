"""Findings about the optimisation and the alignment; each check states its principle."""

import math
from collections.abc import Callable, Iterator

from speechseq.training.corpus_findings import CORPUS_CHECKS
from speechseq.training.finding import MOVED, Course, Finding

EARLY, LATE = 0.1, 0.5  # shares of a run: what should have begun, and what should be there
UNDER_WAY = 0.35  # share of a run from which its pace so far predicts what will be there
NEARLY = 0.9  # a pace is measured on noisy values
BEGUN, ALIGNED = 0.25, 0.5  # quality of an alignment
READ, FORWARD = 0.6, 0.75
HARMFUL, RARE = 0.25, 0.01
CLOSE = 0.25
SURE = 0.9  # stop decisions, where no more is known of them than the share that is right
UNTRAINED = -1.0
USED, MORE = 0.02, 0.002  # gain by the text; growth of the gain that is no noise
RECENT = 3  # validations; a noisy measure must be bad in all of them


def too_fast(course: Course) -> Iterator[Finding]:
    """Yield a finding if updates are so large that they overwrite what earlier ones have learned.

    Principle: Adam changes a weight by about the learning rate, whatever the size of its gradient.
    Usual rates are a hundredth to a tenth of the median size of the weights. Where the rate is more
    than a quarter of it, four updates can overwrite any weight, and what is learned is lost again;
    the weights then grow, so the beginning of the run counts as well as its end. The same finding
    is made if more than one in a hundred updates is skipped because numbers are not finite.
    """
    rates = [
        values["learning_rate"] / max(values["weight_size"], 1e-9)
        for _, values in course.history
        if "learning_rate" in values and "weight_size" in values
    ]
    skipped = course.last("skipped", 0.0) / max(course.history[-1][0], 1)
    rate = max(rates, default=0.0)
    if skipped > RARE or rate > HARMFUL:
        why = f"an update changes a weight by {rate:.0%} of the usual weight's size"
        if skipped > RARE:
            why = f"{skipped:.0%} of the updates are not finite"
        yield Finding(
            f"learning rate: it is too large: {why}",
            "divide --trainer.learning_rate by 10, and keep --trainer.clip_norm 1",
        )


def untrained_part(course: Course) -> Iterator[Finding]:
    """Yield a finding if the weights of a part of the model do not change.

    Principle: every part of a model that is trained moves at every update. A change of exactly 0
    between validations means that no update reaches the part. (Parts named by --freeze are not
    counted.)
    """
    names = sorted({n for _, values in course.history for n in values if n.startswith(MOVED)})
    for name in names:
        part, series = name.removeprefix(MOVED), course.series(name)
        if series and not any(series):
            yield Finding(
                f"{part}: its weights do not change",
                "let the optimizer have its parameters, with requires_grad=True; if it is meant, "
                f"--freeze {part}",
            )


def never_stops(course: Course) -> Iterator[Finding]:
    """Yield a finding if the stop decisions are worse than a guess by the average length.

    Principle: a stop head that predicts, at every step, the share of last steps among all steps has
    a cross-entropy equal to the entropy of this share ("stop_skill" 0, see `probes.stop_skill`). A
    trained head is better in the first half of a run, though not at each validation; an untrained
    one stays far worse, since its logits say nothing about the rare last step. Without
    "stop_skill": a head that is wrong at a tenth of the steps is worse than one that never stops.
    """
    skill, accuracy = course.series("stop_skill"), course.last("stop_accuracy")
    if skill:
        untrained = course.share >= EARLY and max(skill) < UNTRAINED
        wrong = untrained or (course.share >= LATE and max(skill[-RECENT:]) < 0)
    else:
        wrong = course.share >= LATE and accuracy < SURE
    if wrong:
        right = "" if math.isnan(accuracy) else f" ({accuracy:.0%} of them are right)"
        yield Finding(
            f"stop: the stop decisions know less than the average length does{right}",
            "raise --loss.stop, which is 1 by default, and set --loss.stop_positive_weight 5",
        )


def collapsed(course: Course) -> Iterator[Finding]:
    """Yield a finding if there was an alignment, and it is lost.

    Principle: a run that goes well does not unlearn its alignment. The quality is the smallest of
    focus, coverage and monotonicity. A fall to less than half of the best quality so far is no
    noise, because each validation reads the same utterances with the same seed.
    """
    quality = course.quality()
    best = max(quality, default=0.0)
    if best >= ALIGNED and quality[-1] < best / 2:
        yield Finding(
            f"attention: its alignment has collapsed: quality {quality[-1]:.2f} after {best:.2f}",
            "go on from an earlier checkpoint with a smaller --trainer.learning_rate, or train "
            "with --trainer.on_collapse restart",
        )


def unaligned(course: Course) -> Iterator[Finding]:
    """Yield a finding if the attention does not align.

    Principle: an alignment is of use if each step reads few symbols (focus), all symbols are read
    (coverage), and in their order (monotonicity); one of these alone can be perfect for a useless
    alignment. Before half of a run, the smallest of the three may be small as long as it grows, and
    after a third of the run, as long as it grows fast enough to be nearly there at half. A run
    without any growth in its first tenth has no gradient towards an alignment yet, and most such
    runs never align.
    """
    quality = course.quality()
    if not quality or course.share < EARLY / 2 or next(collapsed(course), None):
        return
    if quality[-1] >= BEGUN or (course.share < LATE and _grows(quality, course.share)):
        return
    if course.share < EARLY and len(quality) < 2:
        return
    yield Finding(f"attention: it does not align: {_which(course)}", _cure(course))


def unused_text(course: Course) -> Iterator[Finding]:
    """Yield a finding if the predicted mels do not depend on the text.

    Principle: a model that reads its text predicts mels worse if it is given another text. If it
    does not in the second half of a run and does not begin to, it predicts from the true frames
    alone: attention reads nothing of use, or texts do not belong to their recordings.
    """
    gain = course.series("text_gain")
    growing = bool(gain) and gain[-1] - gain[len(gain) // 2] > MORE
    if course.share >= LATE and course.last("text_gain") < USED and not growing:
        yield Finding(
            "text: mels are predicted as well with a wrong text as with the right one",
            "check how texts are joined to recordings; if they are right, raise "
            "--model.decoder.prenet_dropout, so that the last frame says less",
        )


def drifts(course: Course) -> Iterator[Finding]:
    """Yield a finding if the alignment only holds while the true frames are fed in.

    Principle: synthesis has no true frames. If the mean of focus, coverage and monotonicity is
    lower by a quarter in free-running synthesis, the decoder follows the frames, and not the text.
    """
    gap = course.last("gap")
    if course.share >= LATE and gap > CLOSE:
        yield Finding(
            f"free-running: the alignment loses {gap:.2f} without the true frames",
            "raise --model.decoder.prenet_dropout or --model.decoder.reduction_factor, or go on "
            "training",
        )


def _which(course: Course) -> str:
    focus, coverage, onward, entropy = (
        course.last(name) for name in ("focus", "coverage", "monotonicity", "entropy")
    )
    if focus == min(focus, coverage, onward):
        width = 1 / focus if math.isnan(entropy) else math.exp(entropy)
        return f"a step reads about {width:.0f} symbols at once (focus {focus:.2f})"
    if coverage < onward:
        return f"it reads only {coverage:.0%} of the symbols"
    return f"it moves back at {1 - onward:.0%} of the steps"


def _cure(course: Course) -> str:
    guided = "train_guide" in course.history[-1][1] or "guide" in course.history[-1][1]
    if guided:
        return (
            "raise --loss.guide and --model.decoder.reduction_factor, and check that texts belong "
            "to their recordings"
        )
    return "set --loss.guide 50, and --model.decoder.reduction_factor 2 or more"


def _grows(quality: list[float], share: float) -> bool:
    if len(quality) < 2 or quality[-1] <= 1.2 * quality[0]:
        return False
    growth = (quality[-1] - quality[0]) * LATE / share  # by half of the run, at the same pace
    return share < UNDER_WAY or quality[0] + growth >= NEARLY * BEGUN


Check = Callable[[Course], Iterator[Finding]]

# the order is from cause to symptom
CHECKS: tuple[Check, ...] = (
    *CORPUS_CHECKS,
    untrained_part,
    too_fast,
    never_stops,
    collapsed,
    unaligned,
    unused_text,
    drifts,
)
