"""Findings about texts and sounds: causes that no setting of the training removes.

Each check states its principle; the figures in brackets are those of 40 to 60 utterances of espeak
(digits, sentences, five voices) and of LJSpeech, at `corpus_facts`.
"""

import math
from collections.abc import Iterator

from speechseq.training.finding import Course, Finding

DIVERSE = 0.1
LENGTHS_VARY = 1.3
RELATED = 0.5
STEADY, ENOUGH = 2.0, 10.0
QUIET = 0.5
SLOW, FAST, SLOWEST, FASTEST = 10.0, 20.0, 6.5, 28.0
LOW, HIGH = 1900.0, 3000.0
NARROW, WIDE = 12.0, 30.0


def one_text(course: Course) -> Iterator[Finding]:
    """Yield a finding if the texts of the corpus hardly differ ("text_diversity").

    "text_diversity" is a value of `corpus_facts`.

    Principle: attention learns which sound belongs to which symbol only from texts that differ. The
    entropy of the texts is 0 if all are equal, and the logarithm of their number if all differ; a
    tenth of it is fewer than two texts among ten utterances.
    """
    if course.last("text_diversity") < DIVERSE:
        yield Finding(
            "texts: nearly all utterances have the same text",
            "check the column of texts in the metadata, and how texts are joined to recordings",
        )


def foreign_texts(course: Course) -> Iterator[Finding]:
    """Yield a finding if the texts seem to belong to other recordings ("length_correlation").

    "length_correlation" is a value of `corpus_facts`.

    Principle: it takes longer to say more, so the lengths of texts and recordings correlate: by .73
    to .96 if they belong together, and by -.17 to .18 if they do not. If even the upper bound of
    the correlation (two standard errors above it, in Fisher's transform) is below .5, this is no
    accident. Texts whose lengths hardly vary give no finding.
    """
    if _shuffled(course):
        yield Finding(
            "texts: they are not those of their recordings: the lengths of both have a correlation "
            f"of {course.last('length_correlation'):.2f}",
            "check how texts are joined to recordings, and listen to five of them",
        )


def partial_texts(course: Course) -> Iterator[Finding]:
    """Yield a finding if parts of texts are missing: if "tempo_range" exceeds 2.

    "tempo_range" is the ratio of seconds per symbol in slow and in fast utterances, see
    `corpus_facts`. There is no finding for fewer than `ENOUGH` utterances, for texts that do not
    belong to their recordings at all (`foreign_texts`), nor for a model with a style, which learns
    from speech of different tempo.

    Principle: a reader's tempo varies by a quarter around its mean, which gives a ratio of 1.2 to
    1.6. A text of which half is missing has half of the symbols for the same sound.
    """
    tempo, differ = course.last("tempo_range"), course.last("text_diversity", 1.0) >= DIVERSE
    known = course.last("utterances", 0.0) >= ENOUGH and not course.series("style_active_units")
    if tempo > STEADY and known and differ and not _shuffled(course):
        yield Finding(
            f"texts: some are incomplete: {tempo:.1f} times as much sound per symbol in some "
            "utterances as in others",
            "listen to the utterances with the most seconds per symbol; complete or leave out such",
        )


def silence_in_front(course: Course) -> Iterator[Finding]:
    """Yield a finding if there is much silence before the first symbol ("leading_silence").

    "leading_silence" is a value of `corpus_facts`.

    Principle: in silence no symbol is read, so attention has to wait for a time that no text tells
    it, and guided attention pulls it away meanwhile. The limit of half a second is the length of a
    long pause between phrases, or of about seven symbols. Good corpora have .00 to .05 s.
    """
    seconds = course.last("leading_silence")
    if seconds > QUIET:
        yield Finding(
            f"silence: recordings begin with {seconds:.1f} s of it",
            "cut it off before training, with speechseq.audio.trim.trim_silence",
        )


def wrong_rate(course: Course) -> Iterator[Finding]:
    """Yield a finding if the recordings seem to have another sample rate than their files say.

    It compares "tokens_per_second" and "centroid", values of `corpus_facts`.

    Principle: a wrong sample rate changes tempo and frequencies by the same factor. A slow reader
    changes only the tempo, a dull microphone only the spectrum. Readers say 12 to 19 symbols a
    second, and the centroid of their spectrum up to 8 kHz is at 2,400 to 2,650 Hz; at half the rate
    these are 6 to 8 and 1,340 to 1,630. A tempo that no reader has is enough alone.
    """
    tempo, centroid = course.last("tokens_per_second"), course.last("centroid")
    slow = tempo < SLOWEST or (tempo < SLOW and centroid < LOW)
    fast = tempo > FASTEST or (tempo > FAST and centroid > HIGH)
    if (slow or fast) and course.last("text_diversity", 1.0) >= DIVERSE:
        yield Finding(
            f"sample rate: the recordings seem {'slower' if slow else 'faster'} and "
            f"{'lower' if slow else 'higher'} than speech: {tempo:.1f} symbols a second, mean "
            f"frequency {centroid:,.0f} Hz",
            "play one; compare the rate in its header with the rate that it was recorded at",
        )


def other_convention(course: Course) -> Iterator[Finding]:
    """Yield a finding if the mels seem to have other settings than the run's ("level_spread").

    "level_spread" is a value of `corpus_facts`.

    Principle: the levels of speech, over bands and time, have a standard deviation of 17 to 20 dB
    with any voice. Log-mels read in the convention in which they were made give this. Another
    logarithm, power instead of amplitude, or a scale from 0 to 1 gives a value that is wrong by a
    factor of 2 or more (log10 read as ln: 8.6 dB; [0, 1]: 1.5 dB; power: 40 dB).
    """
    spread = course.last("level_spread")
    if spread <= NARROW or spread >= WIDE:
        yield Finding(
            f"mels: they are not in the convention of the audio settings: their levels would vary "
            f"by {spread:.1f} dB, those of speech vary by about 18",
            "compute the mels with the run's own audio settings, or set these to those of the mels",
        )


def _shuffled(course: Course) -> bool:
    correlation, count = course.last("length_correlation"), course.last("utterances", 0.0)
    varied = course.last("length_range", math.inf) >= LENGTHS_VARY
    if math.isnan(correlation) or count < 5 or not varied:
        return False
    inside = max(-0.999999, min(0.999999, correlation))
    return math.tanh(math.atanh(inside) + 2 / math.sqrt(count - 3)) < RELATED


CORPUS_CHECKS = (
    other_convention,
    one_text,
    foreign_texts,
    partial_texts,
    silence_in_front,
    wrong_rate,
)
