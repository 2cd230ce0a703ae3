"""A trained language model as a scorer, and what any scorer is for: deciding between two words."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.batch import TextBatch
from speechseq.corpus.sentences import Sentence, SentenceBatches
from speechseq.errors import CheckpointError, ConfigError
from speechseq.inference.arpa_lm import NGramScorer, WordNGramScorer
from speechseq.inference.lm.scorer import RNNScorer, load, log_prob, perplexity
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.interfaces import Scorer, WeightedScorer
from speechseq.inference.search.recognise import recognise
from speechseq.models.language_model import LanguageModelConfig, LanguageModelLoss
from speechseq.nn.rows import select_rows
from speechseq.shapes import Encoded
from speechseq.text.ngrams import estimate
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS, Vocabulary

VOCABULARY = Vocabulary.transcripts(" abceht")
LINES = ("the cab", "the cab", "the cab", "a bat", "a bat", "a bat", "each cab", "each cab")


def trained() -> nn.Module:
    """A tiny model that has read the lines until it knows them."""
    torch.manual_seed(0)
    model = LanguageModelConfig(embedding=8, hidden=24, dropout=0.0).build(len(VOCABULARY))
    sentences = [Sentence(id=str(i), text=line) for i, line in enumerate(LINES)]
    batches = SentenceBatches(sentences, VOCABULARY, tokens_per_batch=100, seed=0)
    optimizer, loss = torch.optim.Adam(model.parameters(), lr=0.05), LanguageModelLoss()
    for _ in range(40):
        batch = next(batches)
        optimizer.zero_grad()
        loss(model(batch), batch).total.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint.save(
        tmp_path_factory.mktemp("lm") / "checkpoint",
        model=LanguageModelConfig(embedding=8, hidden=24, dropout=0.0),
        audio=None,
        vocabulary=VOCABULARY,
        weights=trained().state_dict(),
        update=40,
    )


def test_a_loaded_scorer_gives_what_the_model_gives(folder: Path) -> None:
    scorer = RNNScorer.load(folder, VOCABULARY)
    tokens = torch.tensor([VOCABULARY.encode("the bat"), VOCABULARY.encode("a cabea")])
    state, before = scorer.start(2, "cpu"), torch.full((2,), SOS)
    batch = TextBatch(tokens=tokens, token_lengths=torch.tensor([8, 8]))
    whole = scorer.model(batch).log_probs
    for place in range(8):
        log_probs, state = scorer.score(before, state)
        torch.testing.assert_close(log_probs, whole[:, place])
        assert (log_probs[:, [PAD, SOS, BLANK]] < -1e29).all()
        before = tokens[:, place]


def test_a_folder_is_opened_as_a_recurrent_model(folder: Path) -> None:
    assert isinstance(load(folder, VOCABULARY), RNNScorer)
    with pytest.raises(CheckpointError, match="only the recogniser has 'z'"):
        load(folder, Vocabulary.transcripts(" abcehtz"))


def test_trap_19_states_follow_their_rows(folder: Path) -> None:
    scorer = RNNScorer.load(folder)
    state, tokens = scorer.start(3, "cpu"), torch.full((3,), SOS)
    for symbols in ("tab", "hac", "e b"):
        _, state = scorer.score(tokens, state)
        tokens = torch.tensor(VOCABULARY.encode(symbols)[:-1])
    order = torch.tensor([1, 1, 2, 0])
    still, _ = scorer.score(tokens, state)
    moved, _ = scorer.score(tokens[order], select_rows(state, order))
    torch.testing.assert_close(moved, still[order])


def test_trap_26_dropout_is_off(folder: Path) -> None:
    model = LanguageModelConfig(hidden=8, dropout=0.5).build(len(VOCABULARY)).train()
    scorer = RNNScorer(model)
    state, tokens = scorer.start(1, "cpu"), torch.tensor([SOS])
    assert torch.equal(scorer.score(tokens, state)[0], scorer.score(tokens, state)[0])


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (Vocabulary.transcripts(" abcehtz"), "only the recogniser has 'z'"),
        (Vocabulary.transcripts(" abceh"), "only the language model has 't'"),
        (Vocabulary.transcripts("abceht "), "the same symbols have other ids"),
        (Vocabulary.characters(" abceht"), "only the language model has '<sos>', '<blank>'"),
    ],
)
def test_another_vocabulary_is_refused_by_the_symbols_that_differ(
    folder: Path, other: Vocabulary, named: str
) -> None:
    with pytest.raises(CheckpointError, match=named) as caught:
        RNNScorer.load(folder, other)
    assert "train the language model with" in caught.value.cure


def test_a_checkpoint_of_another_family_is_refused(folder: Path, tmp_path: Path) -> None:
    class Ear(LanguageModelConfig):
        kind = "ear"

    checkpoint.save(
        tmp_path / "ear",
        model=Ear(),
        audio=AudioConfig(),
        vocabulary=VOCABULARY,
        weights={"weight": torch.zeros(1)},
        update=1,
    )
    with pytest.raises(CheckpointError, match="kind 'ear', not 'language_model'"):
        RNNScorer.load(tmp_path / "ear")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        RNNScorer.load(tmp_path / "nowhere")


def test_a_model_knows_its_sentences_better_than_others(folder: Path) -> None:
    scorer = RNNScorer.load(folder, VOCABULARY)
    assert perplexity(scorer, VOCABULARY, LINES) < 2 < perplexity(scorer, VOCABULARY, ["tbhe ac"])
    with pytest.raises(ConfigError, match="no texts"):
        perplexity(scorer, VOCABULARY, [])


def test_law_1_a_text_alone_scores_as_in_a_batch(folder: Path) -> None:
    scorer, texts = RNNScorer.load(folder), ["a", "the cab", ""]
    rows = [torch.tensor(VOCABULARY.encode(text)) for text in texts]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=10**6)
    together = log_prob(scorer, padded, torch.tensor([len(row) for row in rows]))
    for row, score in zip(rows, together, strict=True):
        alone = log_prob(scorer, row.unsqueeze(0), torch.tensor([len(row)]))
        torch.testing.assert_close(alone[0], score, rtol=0, atol=1e-5)  # weights are float32


class Heard(NamedTuple):
    log_probs: Tensor
    weights: Tensor
    state: tuple[Tensor, Tensor]


class Ambiguous:
    """Hears one symbol a position, its features their log-probabilities, and nothing else."""

    @property
    def speller(self) -> "Ambiguous":
        return self

    def encode(self, features: Tensor, feature_lengths: Tensor) -> Encoded:
        return Encoded(features, feature_lengths)

    def ctc_log_probs(self, memory: Tensor, memory_lengths: Tensor) -> None:
        return None

    def start(self, memory: Tensor, memory_mask: Tensor) -> tuple[Tensor, Tensor]:
        return memory, torch.zeros(len(memory), dtype=torch.int64)

    def prepare(self):
        return self

    def step(self, tokens: Tensor, state: tuple[Tensor, Tensor]) -> Heard:
        memory, steps = state
        rows, at = torch.arange(len(memory)), steps.clamp(max=memory.shape[1] - 1)
        weights = nn.functional.one_hot(at, memory.shape[1]).float()
        return Heard(memory[rows, at], weights, (memory, steps + 1))


def sound(*alternatives: str) -> Tensor:
    """(1, positions, symbols): each text is as likely as the others, up to a hair for the first."""
    total = torch.full((len(alternatives[0]) + 1, len(VOCABULARY)), 1e-6)
    total[:, [PAD, SOS, BLANK]] = 0.0
    for i, text in enumerate(alternatives):
        for place, token in enumerate(VOCABULARY.encode(text)):
            total[place, token] += 1.0 - 0.01 * i
    return (total / total.sum(1, keepdim=True)).log().clamp(min=-1e30).unsqueeze(0)


def transcribe(heard: Tensor, scorer: Scorer | None, weight: float) -> str:
    scorers = [WeightedScorer("language", scorer, weight)] if scorer is not None else []
    beam = Beam(size=8, n_best=2)
    ((best, _),) = recognise(
        Ambiguous(), heard, torch.tensor([heard.shape[1]]), beam, scorers=scorers
    )
    return VOCABULARY.decode(best.tokens)


@pytest.mark.parametrize("kind", ["recurrent", "n-gram of characters", "n-gram of words"])
def test_the_language_model_decides_between_words_that_sound_alike(folder: Path, kind: str) -> None:
    scorer: Scorer = RNNScorer.load(folder, VOCABULARY)
    if kind == "n-gram of characters":
        model = estimate(map(VOCABULARY.units, LINES), 6, words=[" ", *"abceht"], unknown=False)
        scorer = NGramScorer(model, VOCABULARY)
    elif kind == "n-gram of words":
        scorer = WordNGramScorer(estimate(map(str.split, LINES), 2), VOCABULARY)
    heard = {"the": sound("the bat", "the cab"), "a": sound("a cab", "a bat")}
    assert transcribe(heard["the"], None, 0.0) == "the bat"  # what was heard a hair better
    assert transcribe(heard["a"], None, 0.0) == "a cab"
    assert transcribe(heard["the"], scorer, 0.5) == "the cab"
    assert transcribe(heard["a"], scorer, 0.5) == "a bat"
    clear = sound("the bat")
    assert transcribe(clear, scorer, 0.5) == "the bat"  # and it does not silence what was heard


def test_law_7_the_term_of_a_hypothesis_is_the_log_prob_of_its_text(folder: Path) -> None:
    scorer = WordNGramScorer(estimate(map(str.split, LINES), 2), VOCABULARY)
    heard = sound("the bat", "the cab")
    fused = WeightedScorer("language", scorer, 0.5)
    ((best, other),) = recognise(
        Ambiguous(), heard, torch.tensor([heard.shape[1]]), Beam(size=8, n_best=2), scorers=[fused]
    )
    for hypothesis in (best, other):
        tokens = torch.tensor([[*hypothesis.tokens, EOS]])
        true = float(log_prob(scorer, tokens, torch.tensor([tokens.shape[1]])))
        assert hypothesis.terms["language"] == pytest.approx(0.5 * true, abs=1e-4)
