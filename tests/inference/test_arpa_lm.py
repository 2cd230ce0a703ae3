"""N-gram scorers: equal to back-off written plainly, a sentence's whole and nothing twice."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_arpa import parse, sentence_log_prob, word_log_prob

from speechseq.errors import ConfigError, DataError
from speechseq.inference.arpa_lm import NGramScorer, WordNGramScorer
from speechseq.inference.lm import scorer as lm_scorer
from speechseq.inference.lm.scorer import log_prob, perplexity
from speechseq.inference.search.interfaces import Scorer
from speechseq.nn.rows import select_rows
from speechseq.text import arpa
from speechseq.text.ngrams import estimate
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS, Vocabulary

LINES = ("the cat sat", "a cat ate the bat", "the bat", "at the hat", "he sat at a hat", "cat")
CHARACTERS = Vocabulary.transcripts(" abcehst")
PIECES = Vocabulary.train_pieces(LINES, 14)
WORDS = Vocabulary.words(sorted({word for line in LINES for word in line.split()}))
UNITS = {"characters": CHARACTERS, "pieces": PIECES, "words": WORDS}
NEVER = [PAD, SOS, BLANK]


def unit_model(tmp_path: Path, vocabulary: Vocabulary, order: int, **options: Any) -> Path:
    sentences = [vocabulary.units(line) for line in LINES]
    options = {"words": vocabulary.symbols, "unknown": False} | options
    arpa.write(tmp_path / "units.arpa", estimate(sentences, order, **options))
    return tmp_path / "units.arpa"


def word_model(tmp_path: Path, order: int = 3, **options: Any) -> Path:
    model = estimate([line.split() for line in LINES], order, **options)
    arpa.write(tmp_path / "words.arpa", model)
    return tmp_path / "words.arpa"


def written(vocabulary: Vocabulary, text: str) -> list[str]:
    return ["<space>" if unit == " " else unit for unit in vocabulary.units(text)]


def score_of(scorer: Scorer, vocabulary: Vocabulary, texts: list[str]) -> torch.Tensor:
    rows = [torch.tensor(vocabulary.encode(text)) for text in texts]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return log_prob(scorer, tokens, torch.tensor([len(row) for row in rows]))


def random_texts(symbols: str, count: int = 12) -> list[str]:
    drawn = random.Random(0)
    texts = ["".join(drawn.choices(symbols, k=drawn.randrange(1, 15))) for _ in range(count)]
    return [" ".join(text.split()) for text in texts]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("units", UNITS)
def test_scores_of_symbols_are_those_of_plain_back_off(
    tmp_path: Path, units: str, order: int
) -> None:
    vocabulary = UNITS[units]
    path = unit_model(tmp_path, vocabulary, order)
    model = parse(path.read_text())
    texts = [*LINES, "", *(random_texts("abcehst ") if units == "characters" else [])]
    scores = score_of(NGramScorer.load(path, vocabulary), vocabulary, texts)
    true = [sentence_log_prob(model, written(vocabulary, text)) for text in texts]
    torch.testing.assert_close(
        scores, torch.tensor(true, dtype=torch.float64), rtol=1e-6, atol=1e-5
    )


def test_a_pruned_model_backs_off_past_histories_that_are_no_ends(tmp_path: Path) -> None:
    """ "cat sat" is no bigram though "the cat sat" is a trigram: its end is found further down."""
    text = word_model(tmp_path).read_text()
    lines = [line for line in text.splitlines() if line.split()[1:3] != ["cat", "sat"]]
    removed = len(text.splitlines()) - len(lines)
    assert removed == 2  # the bigram, and the trigram that it begins
    counts = {2: text.split("ngram 2=")[1].split()[0], 3: text.split("ngram 3=")[1].split()[0]}
    pruned = "\n".join(lines) + "\n"
    for order, count in counts.items():
        pruned = pruned.replace(f"ngram {order}={count}", f"ngram {order}={int(count) - 1}")
    (tmp_path / "pruned.arpa").write_text(pruned)
    scores = score_of(NGramScorer.load(tmp_path / "pruned.arpa", WORDS), WORDS, list(LINES))
    true = [sentence_log_prob(parse(pruned), line.split()) for line in LINES]
    torch.testing.assert_close(
        scores, torch.tensor(true, dtype=torch.float64), rtol=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("units", UNITS)
def test_law_3_what_follows_any_history_sums_to_one(tmp_path: Path, units: str) -> None:
    vocabulary = UNITS[units]
    scorer = NGramScorer.load(unit_model(tmp_path, vocabulary, 4), vocabulary)
    state, tokens = scorer.start(9, "cpu"), torch.full((9,), SOS)
    for _ in range(12):
        log_probs, state = scorer.score(tokens, state)
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(9))
        assert (log_probs[:, NEVER] < -1e29).all()
        assert log_probs.isfinite().all()
        tokens = torch.multinomial(log_probs.exp(), 1).squeeze(1)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("vocabulary", [CHARACTERS, PIECES, WORDS], ids=UNITS)
def test_scores_of_spelled_words_add_up_to_the_sentences(
    tmp_path: Path, vocabulary: Vocabulary, order: int
) -> None:
    path = word_model(tmp_path, order)
    texts = [*LINES, "", "cat cat cat", "bat sat the a"]
    if vocabulary is not WORDS:  # words unknown, known only in part, and begun like known ones
        texts += ["the tse sat", "ca sat", "cats at", "t", "hhh a"]
    scores = score_of(WordNGramScorer.load(path, vocabulary), vocabulary, texts)
    true = [sentence_log_prob(parse(path.read_text()), text.split()) for text in texts]
    torch.testing.assert_close(
        scores, torch.tensor(true, dtype=torch.float64), rtol=1e-6, atol=1e-5
    )


def test_spaces_too_many_are_no_words(tmp_path: Path) -> None:
    scorer = WordNGramScorer.load(word_model(tmp_path), CHARACTERS)
    one, more = score_of(scorer, CHARACTERS, ["the cat", "  the   cat "])
    assert one == pytest.approx(more)


def test_a_word_is_scored_when_it_is_complete_and_not_before(tmp_path: Path) -> None:
    path = word_model(tmp_path)
    scorer, model = WordNGramScorer.load(path, CHARACTERS), parse(path.read_text())
    state = scorer.start(1, "cpu")
    for token in [SOS, *CHARACTERS.encode("the ca")[:-1]]:
        log_probs, state = scorer.score(torch.tensor([token]), state)
    letters, (space, _) = CHARACTERS.encode("abcehst")[:-1], CHARACTERS.encode(" ")
    assert (log_probs[0, letters] == 0).all()
    unknown = word_log_prob(model, ("<s>", "the"), "<unk>")
    end = word_log_prob(model, ("the", "<unk>"), "</s>")
    assert float(log_probs[0, space]) == pytest.approx(unknown, rel=1e-5)
    assert float(log_probs[0, EOS]) == pytest.approx(unknown + end, rel=1e-5)


@pytest.mark.parametrize("kind", ["symbols", "words"])
def test_trap_19_rows_may_be_reordered_and_repeated(tmp_path: Path, kind: str) -> None:
    scorer: Scorer
    if kind == "symbols":
        scorer = NGramScorer.load(unit_model(tmp_path, CHARACTERS, 4), CHARACTERS)
    else:
        scorer = WordNGramScorer.load(word_model(tmp_path), CHARACTERS)
    texts = ["the cat sat", "a bat", "he at th"]
    steps = 5
    rows = torch.tensor([CHARACTERS.encode(text)[:steps] for text in texts])
    state, tokens = scorer.start(3, "cpu"), torch.full((3,), SOS)
    for place in range(steps):
        _, state = scorer.score(tokens, state)
        tokens = rows[:, place]
    order = torch.tensor([2, 0, 0, 1, 2])
    moved, _ = scorer.score(tokens[order], select_rows(state, order))
    still, _ = scorer.score(tokens, state)
    assert torch.equal(moved, still[order])
    assert not torch.equal(still[0], still[1])


def test_the_file_decides_between_symbols_and_words(tmp_path: Path) -> None:
    symbols = unit_model(tmp_path, CHARACTERS, 2)
    assert isinstance(lm_scorer.load(symbols, CHARACTERS), NGramScorer)
    assert isinstance(lm_scorer.load(word_model(tmp_path), CHARACTERS), WordNGramScorer)
    assert isinstance(lm_scorer.load(word_model(tmp_path), WORDS), NGramScorer)


def test_words_in_capitals_are_those_of_a_vocabulary_that_folds_case(tmp_path: Path) -> None:
    path = word_model(tmp_path)
    arpa.write(tmp_path / "loud.arpa", estimate([line.upper().split() for line in LINES], 3))
    loud = WordNGramScorer.load(tmp_path / "loud.arpa", CHARACTERS)
    scores = score_of(loud, CHARACTERS, list(LINES))
    true = score_of(WordNGramScorer.load(path, CHARACTERS), CHARACTERS, list(LINES))
    torch.testing.assert_close(scores, true)


def test_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    digits = Vocabulary.transcripts("0123456789 ")
    with pytest.raises(ConfigError, match="neither <unk> nor '0', '1'"):
        NGramScorer.load(unit_model(tmp_path, CHARACTERS, 2), digits)
    with pytest.raises(ConfigError, match="can spell none"):
        WordNGramScorer.load(word_model(tmp_path), digits)
    with pytest.raises(ConfigError, match="is no recogniser's"):
        lm_scorer.load(word_model(tmp_path), Vocabulary.characters())
    with pytest.raises(DataError, match=r"nowhere\.arpa"):
        lm_scorer.load(tmp_path / "nowhere.arpa", CHARACTERS)


def test_an_unlisted_symbol_has_the_probability_of_unk(tmp_path: Path) -> None:
    wide = Vocabulary.transcripts(" abcehstz")
    path = unit_model(tmp_path, CHARACTERS, 2, unknown=True)
    scores = score_of(NGramScorer.load(path, wide), wide, ["cat zat"])
    true = sentence_log_prob(parse(path.read_text()), written(wide, "cat zat"))
    assert float(scores[0]) == pytest.approx(true, rel=1e-5)


def test_an_estimated_model_beats_chance_on_other_sentences(tmp_path: Path) -> None:
    scorer = NGramScorer.load(unit_model(tmp_path, CHARACTERS, 4), CHARACTERS)
    chance = len(CHARACTERS) - len(NEVER)
    assert perplexity(scorer, CHARACTERS, ["the cat ate a bat", "he sat"]) < chance / 2
