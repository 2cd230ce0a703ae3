"""From what a search found to a Transcript: text, words with times, confidences."""

import math

from speechseq.inference.decoding import Decoded
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.timestamps import (
    Word,
    attention_places,
    ctc_places,
    word_spans,
    word_tokens,
)
from speechseq.inference.transcript import Candidate, Transcript
from speechseq.text.vocabulary import EOS, Vocabulary


def write(
    decoded: Decoded, vocabulary: Vocabulary, seconds: float, seconds_per_position: float
) -> Transcript:
    """The Transcript of an utterance of so many seconds."""
    best = decoded.hypotheses[0]
    confidences = [math.exp(min(0.0, p)) for p in best.token_log_probs.tolist()]
    return Transcript(
        text=vocabulary.decode(best.tokens),
        log_prob=best.log_prob,
        finished=best.finished,
        words=_words(decoded, confidences, vocabulary, seconds, seconds_per_position),
        tokens=best.tokens,
        token_confidences=tuple(confidences[: len(best.tokens)]),
        symbols=tuple(
            vocabulary.controls[EOS] if i == EOS else vocabulary.decode([i]) for i in best.ids
        ),
        alignment=best.alignment.float().cpu(),
        seconds_per_position=seconds_per_position,
        n_best=tuple(_candidate(item, vocabulary) for item in decoded.hypotheses),
        seconds=seconds,
    )


def _words(
    decoded: Decoded,
    confidences: list[float],
    vocabulary: Vocabulary,
    seconds: float,
    seconds_per_position: float,
) -> tuple[Word, ...]:
    best = decoded.hypotheses[0]
    if decoded.ctc_log_probs is None:
        places = attention_places(best.alignment)
    else:
        places = ctc_places(decoded.ctc_log_probs, best.tokens)
    words = word_tokens(best.tokens, vocabulary.decode)
    spans = word_spans(words, places, best.alignment.shape[1])
    return tuple(
        Word(
            text=word.text,
            start=min(start * seconds_per_position, seconds),
            end=min(end * seconds_per_position, seconds),
            confidence=math.prod(confidences[word.first : word.stop]),
        )
        for word, (start, end) in zip(words, spans, strict=True)
    )


def _candidate(item: Hypothesis, vocabulary: Vocabulary) -> Candidate:
    return Candidate(
        text=vocabulary.decode(item.tokens),
        score=item.score,
        log_prob=item.log_prob,
        terms=item.terms,
        finished=item.finished,
    )
