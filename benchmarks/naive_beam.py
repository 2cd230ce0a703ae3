"""Beam search written plainly: one utterance, one hypothesis, one step at a time.

It is the reference with which the tests compare `speechseq.inference.search`, and the peer in the
benchmark. The two share only the model and the configuration.
"""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

PAD, EOS, SOS, BLANK = range(4)


@dataclasses.dataclass
class Path:
    """Hypothesis: its tokens, eos included, and the parts of its score."""

    tokens: list[int]
    attention: float = 0.0
    ctc: float = 0.0
    fused: dict[str, float] = dataclasses.field(default_factory=dict)
    covered: Tensor | None = None
    state: Any = None
    scorer_states: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights: list[Tensor] = dataclasses.field(default_factory=list)
    score: float = 0.0
    terms: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.tokens[-1:] == [EOS]


def naive_beam(model, features, beam, scorers=(), *, stop=False) -> list[Path]:
    """Return the n-best list of one utterance (frames, features).

    `stop` ends the search when no open hypothesis can win, which assumes a score that only falls.
    """
    encoded = model.encode(features[None], torch.tensor([len(features)]))
    positions = int(encoded.memory_lengths[0])
    speller = model.speller.prepare()
    ctc = None
    if beam.score.ctc_weight:
        ctc = model.ctc_log_probs(*encoded)[0, :positions].double()
    limit = max(beam.limit.at_least, math.ceil(beam.limit.tokens_per_position * positions))
    mask = torch.ones(1, positions, dtype=torch.bool)
    start = Path([], fused={s.name: 0.0 for s in scorers}, covered=torch.zeros(positions))
    start.state = speller.start(encoded.memory, mask)
    start.scorer_states = {s.name: s.scorer.start(1, encoded.memory.device) for s in scorers}
    open_paths, ended = [start], []
    for _ in range(limit):
        found = []
        for path in open_paths:
            found += continued(path, speller, beam, scorers, ctc)
        found.sort(key=lambda path: -path.score)  # stable: of equals the first
        found = found[: beam.size]
        ended += [path for path in found if path.finished]
        open_paths = [path for path in found if not path.finished]
        ended.sort(key=lambda path: -path.score)
        if not open_paths:
            break
        enough = len(ended) >= beam.n_best
        if stop and enough and ended[beam.n_best - 1].score >= open_paths[0].score:
            break
    return (ended + open_paths)[: beam.n_best] if not stop else ended[: beam.n_best] or open_paths


def everything(model, features, beam, scorers=()) -> list[Path]:
    """Return every transcript of one utterance that ends within its limit, best first."""
    wide = dataclasses.replace(beam, size=4096, n_best=4096)
    return [path for path in naive_beam(model, features, wide, scorers) if path.finished]


def continued(path, speller, beam, scorers, ctc) -> list[Path]:
    """Return the best continuations of one hypothesis, in the order of their symbols."""
    last = torch.tensor([path.tokens[-1] if path.tokens else SOS])
    spelled = speller.step(last, path.state)
    log_probs, weights = spelled.log_probs[0], spelled.weights[0]
    covered = path.covered + weights
    scored = {s.name: s.scorer.score(last, path.scorer_states[s.name]) for s in scorers}
    states = {name: state for name, (_, state) in scored.items()}
    ctc_scores = None if ctc is None else prefix_scores(ctc, path.tokens)
    parts = {"attention": path.attention + log_probs.double()}
    if ctc_scores is not None:
        parts["ctc"] = beam.score.ctc_weight * ctc_scores
    for s in scorers:
        parts[s.name] = s.weight * (path.fused[s.name] + scored[s.name][0][0].double())
    terms = normalised(parts, path.tokens, len(log_probs), beam.score)
    if beam.score.coverage_weight:
        count = float((covered > beam.score.coverage_threshold).sum())
        terms["coverage"] = torch.full_like(parts["attention"], beam.score.coverage_weight * count)
    total = sum(terms.values())
    total[[PAD, SOS, BLANK]] = -math.inf
    if beam.score.end_threshold is not None:
        others = torch.cat([log_probs[:EOS], log_probs[EOS + 1 :]])
        possible = bool((total > -math.inf).sum() > (total[EOS] > -math.inf))
        if possible and not log_probs[EOS] > beam.score.end_threshold * others.max():
            total[EOS] = -math.inf
    values, symbols = total.sort(descending=True, stable=True)
    kept = [
        (symbol, value)
        for value, symbol in zip(values.tolist(), symbols.tolist(), strict=True)
        if value > -math.inf
    ][: beam.size]
    return [
        Path(
            tokens=[*path.tokens, symbol],
            attention=path.attention + float(log_probs[symbol]),
            ctc=0.0 if ctc_scores is None else float(ctc_scores[symbol]),
            fused={n: path.fused[n] + float(scored[n][0][0, symbol]) for n in scored},
            covered=covered,
            state=spelled.state,
            scorer_states=states,
            weights=[*path.weights, weights],
            score=value,
            terms={name: float(term[symbol]) for name, term in terms.items()},
        )
        for symbol, value in sorted(kept)
    ]


def normalised(parts, tokens, symbols, score) -> dict[str, Tensor]:
    """Apply the length rule to each part of the score; eos counts as one token or character."""
    rule = score.length
    length = torch.full((symbols,), len(tokens) + 1.0, dtype=torch.float64)
    if rule.kind == "per_character" and rule.symbol_widths:
        widths = list(rule.symbol_widths)
        widths[EOS] = 1.0
        so_far = sum(widths[token] for token in tokens)
        length = so_far + torch.tensor(widths, dtype=torch.float64)
    divisor = {
        "none": torch.ones_like(length),
        "bonus": torch.ones_like(length),
        "per_token": length,
        "per_character": length.clamp(min=1),
        "gnmt": ((5 + length) / 6) ** getattr(rule, "alpha", 0.0),
    }[rule.kind]
    whole = rule.kind in ("per_token", "gnmt")
    divided = {
        name: part / divisor if whole or name in ("attention", "ctc") else part
        for name, part in parts.items()
    }
    if rule.kind == "bonus":
        divided["length"] = rule.bonus * length
    return divided


def prefix_scores(log_probs: Tensor, tokens: list[int]) -> Tensor:
    """Log-probability of each longer prefix under CTC (symbols,), at eos that of the whole.

    log_probs (positions, symbols). The recurrences of Hori (2017) run position by position.
    """
    symbol, blank = [-math.inf], [0.0]
    for row in log_probs:
        symbol.append(-math.inf)
        blank.append(blank[-1] + float(row[BLANK]))
    last = None
    for token in tokens:
        new_symbol, new_blank = [-math.inf], [-math.inf]
        for t, row in enumerate(log_probs, start=1):
            entering = blank[t - 1] if token == last else log_add(blank[t - 1], symbol[t - 1])
            new_symbol.append(log_add(new_symbol[-1], entering) + float(row[token]))
            new_blank.append(log_add(new_blank[-1], new_symbol[t - 1]) + float(row[BLANK]))
        symbol, blank, last = new_symbol, new_blank, token
    scores = []
    for token in range(log_probs.shape[1]):
        total = -math.inf
        for t, row in enumerate(log_probs, start=1):
            entering = blank[t - 1] if token == last else log_add(blank[t - 1], symbol[t - 1])
            total = log_add(total, entering + float(row[token]))
        scores.append(total)
    scores[EOS] = log_add(symbol[-1], blank[-1])
    return torch.tensor(scores, dtype=torch.float64)


def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
