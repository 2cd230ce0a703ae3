"""Builds a Transcript from the hypotheses of a search: text, words with times, confidences."""

import math
import statistics

from speechseq.inference.decoding import Decoded
from speechseq.inference.pauses import into_pauses
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.timestamps import (
    Word,
    WordTokens,
    attention_places,
    ctc_places,
    word_spans,
    word_tokens,
)
from speechseq.inference.transcript import Candidate, Transcript
from speechseq.shapes import Waveform
from speechseq.text.vocabulary import EOS, Vocabulary

_LEAD = 0.08  # seconds from the start of a word to the position where its first token is read


def build_transcript(
    decoded: Decoded,
    vocabulary: Vocabulary,
    waveform: Waveform,
    rate: int,
    seconds_per_position: float,
) -> Transcript:
    """Build the transcript of an utterance: text, words with times, confidences.

    Args:
        decoded: hypotheses of the utterance, best first.
        vocabulary: vocabulary that decodes the tokens.
        waveform: sound (1, samples), in which pauses between words are searched.
        rate: its samples per second.
        seconds_per_position: duration of one position of the memory.
    """
    seconds = waveform.shape[1] / rate
    best = decoded.hypotheses[0]
    words = word_tokens(best.tokens, vocabulary.decode)
    spans = [
        (start * seconds_per_position, end * seconds_per_position)
        for start, end in word_spans(
            words, _places(decoded), best.alignment.shape[1], _LEAD / seconds_per_position
        )
    ]
    confidences = [math.exp(min(0.0, p)) for p in best.token_log_probs.tolist()]
    return Transcript(
        text=vocabulary.decode(best.tokens),
        log_prob=best.log_prob,
        finished=best.finished,
        words=tuple(
            _word(word, span, confidences, seconds)
            for word, span in zip(words, into_pauses(spans, waveform, rate), strict=True)
        ),
        tokens=best.tokens,
        token_confidences=tuple(confidences[: len(best.tokens)]),
        symbols=tuple(
            vocabulary.controls[EOS] if i == EOS else vocabulary.decode([i]) for i in best.ids
        ),
        alignment=best.alignment.float().cpu(),
        seconds_per_position=seconds_per_position,
        n_best=tuple(_candidate(item, vocabulary) for item in decoded.hypotheses),
        seconds=seconds,
        no_speech=_no_speech(best.empty_log_prob, confidences[: len(best.tokens)]),
    )


def _no_speech(empty_log_prob: float, confidences: list[float]) -> float:
    """Probability that the sound holds no speech, see `Transcript.no_speech`."""
    sure = statistics.fmean(confidences) if confidences else 1.0
    return 1 - (1 - math.exp(min(0.0, empty_log_prob))) * sure


def _places(decoded: Decoded) -> list[float]:
    best = decoded.hypotheses[0]
    if decoded.ctc_log_probs is None:
        return attention_places(best.alignment)
    return ctc_places(decoded.ctc_log_probs, best.tokens)


def _word(
    word: WordTokens, span: tuple[float, float], confidences: list[float], seconds: float
) -> Word:
    return Word(
        text=word.text,
        start=min(span[0], seconds),
        end=min(span[1], seconds),
        confidence=math.prod(confidences[word.first : word.stop]),
    )


def _candidate(item: Hypothesis, vocabulary: Vocabulary) -> Candidate:
    return Candidate(
        text=vocabulary.decode(item.tokens),
        score=item.score,
        log_prob=item.log_prob,
        terms=item.terms,
        finished=item.finished,
    )
