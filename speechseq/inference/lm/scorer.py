"""Language models as scorers of a search, which score one symbol per step for many rows at once."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq import checkpoint as checkpoints
from speechseq.arguments import checked_lengths, checked_tokens
from speechseq.errors import CheckpointError, ConfigError
from speechseq.inference.arpa_lm import NGramScorer, WordNGramScorer
from speechseq.inference.search.interfaces import Scorer, WeightedScorer
from speechseq.models.language_model import LanguageModel, LanguageModelConfig, LanguageState
from speechseq.text import arpa
from speechseq.text.vocabulary import PAD, SOS, Vocabulary

_TOGETHER = 64  # texts of a batch

Rows = Int[Tensor, " rows"]
LogProbs = Float[Tensor, "rows symbols"]


class RNNScorer:
    """Language model for beam search: a recurrent network over the recogniser's symbols.

    Load it by `RNNScorer.load(checkpoint)` and pass it to a search as `WeightedScorer("lm", scorer,
    weight=0.3)`.

    Args:
        model: the language model; it is put in evaluation mode.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model.eval()

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        vocabulary: Vocabulary | None = None,
        device: torch.device | str = "cpu",
    ) -> "RNNScorer":
        """Load the checkpoint of a trained recurrent language model.

        Args:
            checkpoint: folder of the checkpoint, or of the run.
            vocabulary: the recogniser's vocabulary, which the language model must share; None to
                skip this check.
            device: device of the model.

        Raises:
            CheckpointError: the checkpoint is truncated, empty, of another kind of model, or has
                other symbols.
        """
        stored = checkpoints.load(checkpoint, LanguageModelConfig)
        if vocabulary is not None:
            check_symbols(stored.vocabulary, vocabulary, stored.folder)

        def build() -> LanguageModel:
            return stored.model.build(symbols=len(stored.vocabulary))

        return cls(cast(LanguageModel, checkpoints.restore(stored, build)).to(device))

    def start(self, rows: int, device: torch.device | str) -> LanguageState:
        """Return a state of zeros for `rows` hypotheses, and move the model to the device."""
        with torch.inference_mode(False):  # a search runs in inference mode; parameters must not
            self.model.to(device)
        return self.model.start(rows)

    @torch.no_grad()
    def score(self, tokens: Rows, state: LanguageState) -> tuple[LogProbs, LanguageState]:
        """Return log-probabilities (rows, symbols) of the next symbol, and the new state.

        A row is a hypothesis.

        Args:
            tokens: (rows), the last symbol of each hypothesis.
            state: result of `start`, or state returned by the previous call.
        """
        return self.model.step(tokens, state)


def load(
    path: str | Path, vocabulary: Vocabulary, device: torch.device | str = "cpu"
) -> RNNScorer | NGramScorer | WordNGramScorer:
    """Load a language model, recurrent or n-gram, from a checkpoint folder or an ARPA file.

    A folder is a checkpoint of a recurrent model. A file is an n-gram model: over the recogniser's
    symbols if all its words are symbols of the vocabulary, otherwise over words.

    Args:
        path: the folder or file.
        vocabulary: the recogniser's vocabulary.
        device: device of a recurrent model.

    Raises:
        CheckpointError: the folder is not a checkpoint of a language model, or has another
            vocabulary.
        DataError: the file is missing or damaged; the message has file and line.
        ConfigError: the model's words are neither symbols of the vocabulary nor words that the
            vocabulary can spell.
    """
    if Path(path).is_dir():
        return RNNScorer.load(path, vocabulary, device)
    model = arpa.read(path)
    symbols = {*vocabulary.symbols, arpa.SPACE, arpa.BEGIN, arpa.END, arpa.UNKNOWN}
    kind = NGramScorer if symbols.issuperset(model.words) else WordNGramScorer
    return kind(model, vocabulary)


def weighted(path: str, vocabulary: Vocabulary, weight: float) -> list[WeightedScorer]:
    """Load a language model as the argument `scorers` of a search; [] if `path` is "".

    Args:
        path: checkpoint folder or ARPA file, see `load`.
        vocabulary: the recogniser's vocabulary.
        weight: factor of the language model's log-probabilities in the score.

    Raises:
        CheckpointError, DataError, ConfigError: see `load`.
    """
    return [WeightedScorer("lm", load(path, vocabulary), weight)] if path else []


def check_symbols(ours: Vocabulary, recognisers: Vocabulary, folder: Path) -> None:
    """Check that a language model assigns its ids to the same symbols as the recogniser.

    Args:
        ours: vocabulary of the language model.
        recognisers: vocabulary of the recogniser.
        folder: the language model's checkpoint, for the message.

    Raises:
        CheckpointError: the two differ; the message has symbols that only one of them has.
    """
    if (ours.controls, ours.symbols) == (recognisers.controls, recognisers.symbols):
        return
    only = [
        f"only the {name} has {_listed([s for s in these if s not in set(others)])}"
        for name, these, others in (
            ("language model", _entries(ours), _entries(recognisers)),
            ("recogniser", _entries(recognisers), _entries(ours)),
        )
        if set(these) - set(others)
    ]
    problem = "; ".join(only) or "the same symbols have other ids"
    raise CheckpointError(
        f"{folder}: its vocabulary is not the recogniser's: {problem}",
        "train the language model with the recogniser's vocabulary",
    )


@torch.no_grad()
def log_prob(scorer: Scorer, tokens: Tensor, lengths: Tensor) -> Float[Tensor, " batch"]:
    """Summed log-probability of each text (batch) under a language model, eos included, in nats.

    Args:
        scorer: the language model.
        tokens: (batch, tokens), ids that end with eos, padded.
        lengths: (batch), number of ids of each text, eos included.
    """
    tokens = checked_tokens(tokens)
    lengths = checked_lengths(lengths, tokens.shape)
    state = scorer.start(len(tokens), tokens.device)
    before = torch.full_like(tokens[:, 0], SOS)
    total = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
    for place in range(tokens.shape[1]):
        log_probs, state = scorer.score(before, state)
        valid = place < lengths
        before = torch.where(valid, tokens[:, place], PAD)
        here = log_probs.gather(1, before.unsqueeze(1)).squeeze(1)
        total += torch.where(valid, here.double(), 0.0)
    return total


def perplexity(scorer: Scorer, vocabulary: Vocabulary, texts: Sequence[str]) -> float:
    """Perplexity per token of texts under a language model, end symbols included.

    Args:
        scorer: the language model.
        vocabulary: vocabulary that encodes the texts.
        texts: held-out texts.

    Raises:
        ConfigError: `texts` is empty.
        DataError: a text has symbols that the vocabulary lacks.
    """
    if not texts:
        raise ConfigError("there are no texts to take a perplexity of")
    rows = sorted((torch.tensor(vocabulary.encode(text)) for text in texts), key=len)
    total = 0.0
    for start in range(0, len(rows), _TOGETHER):
        some = rows[start : start + _TOGETHER]
        tokens = torch.nn.utils.rnn.pad_sequence(some, batch_first=True, padding_value=PAD)
        total -= float(log_prob(scorer, tokens, torch.tensor([len(row) for row in some])).sum())
    return math.exp(total / sum(map(len, rows)))


def _entries(vocabulary: Vocabulary) -> tuple[str, ...]:
    return (*vocabulary.controls, *vocabulary.symbols)


def _listed(symbols: list[str]) -> str:
    shown = ", ".join(map(repr, symbols[:10]))
    return shown if len(symbols) <= 10 else f"{shown} and {len(symbols) - 10} more"
