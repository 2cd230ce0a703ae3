"""Cases of the ops' contract whose first input is a padded batch of sequences."""

import itertools

import torch
from op_cases import Case, normal, put
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.nn.masks import length_mask
from speechseq.nn.recurrent import BiGRU, BiLSTM
from speechseq.ops.conv import convolve
from speechseq.ops.varlen import Varlen


def with_hole(mask: Tensor) -> Tensor:
    mask[0, 3] = False
    return mask


MASKS = {
    "lengths": length_mask(torch.tensor([9, 1, 4]), 9),
    "nothing padded": length_mask(torch.tensor([5, 5]), 5),
    "padded to more than the longest": length_mask(torch.tensor([2, 3]), 8),
    "a hole": with_hole(length_mask(torch.tensor([7, 6]), 9)),
    "many": length_mask(torch.tensor([90, 11, 70]), 90),
}


def convolutions() -> list[Case]:
    def op(x, weight, bias=None, *, mask):
        rows = Varlen.of(mask)
        return convolve(rows.unpad(x), rows, weight, bias)

    def formula(x, weight, bias=None, *, mask):
        """Each utterance alone, up to its last valid position, its holes zero."""
        kernel, columns = weight.shape[2], []
        for item, valid in zip(x, mask, strict=True):
            own = torch.where(valid.unsqueeze(1), item, 0.0)[: int(valid.nonzero().max()) + 1]
            around = F.pad(own.t().unsqueeze(0), ((kernel - 1) // 2, kernel // 2))
            columns.append(F.conv1d(around, weight, bias)[0].t()[valid[: len(own)]])
        return torch.cat(columns)

    def inputs(mask, kernel, biased):
        weight = torch.randn(37, 6, kernel) / (6 * kernel) ** 0.5
        return [torch.randn(*mask.shape, 6), weight, *[torch.randn(37)] * biased]

    return [
        Case(
            f"convolve by {kernel}, {'a' if biased else 'no'} bias, {name}",
            lambda *own, mask=mask: op(*own, mask=mask),
            lambda *own, mask=mask: formula(*own, mask=mask),
            lambda given=(mask, kernel, biased): inputs(*given),
            (3e-6, 3e-6),
            mask,
            kernel="none" if name == "a hole" else "training",
        )
        for (name, mask), kernel, biased in itertools.product(
            MASKS.items(), (1, 2, 3, 5, 8), (True, False)
        )
    ]


def recurrent() -> list[Case]:
    def op(x, *weights, kind, lengths):
        layer = kind(x.shape[2], weights[1].shape[1])
        put(layer, weights)
        return layer(x, lengths)

    def formula(x, *weights, kind, lengths):
        """Each utterance alone, in torch's bidirectional layer."""
        output = x.new_zeros(*x.shape[:2], 2 * weights[1].shape[1])
        torch_s = nn.LSTM if kind is BiLSTM else nn.GRU
        layer = torch_s(x.shape[2], weights[1].shape[1], batch_first=True, bidirectional=True)
        put(layer, weights)
        rows = [
            F.pad(layer(x[i : i + 1, :n])[0][0], (0, 0, 0, x.shape[1] - n)) if n else output[i]
            for i, n in enumerate(lengths.tolist())
        ]
        return torch.stack(rows)

    def inputs(kind, input_dim, hidden, lengths):
        layer = kind(input_dim, hidden)
        x = torch.randn(len(lengths), max(lengths) + 2, input_dim)
        return [x, *(p.detach().clone() for p in layer.parameters())]

    sizes = [(3, 5, (7,)), (20, 33, (5, 9, 1, 9, 33)), (7, 64, (4, 4)), (5, 6, (2, 6, 0))]
    sizes += [(9, 100, tuple(range(1, 21))), (12, 70, (9, 17, 4))]
    return [
        Case(
            f"{kind.__name__} of {input_dim} to {hidden}, {len(lengths)} utterances",
            lambda *own, k=kind, n=lengths: op(*own, kind=k, lengths=torch.tensor(n)),
            lambda *own, k=kind, n=lengths: formula(*own, kind=k, lengths=torch.tensor(n)),
            lambda given=(kind, input_dim, hidden, lengths): inputs(*given),
            (1e-6, 1e-5),
            length_mask(torch.tensor(lengths), max(lengths) + 2),
        )
        for kind, (input_dim, hidden, lengths) in itertools.product((BiLSTM, BiGRU), sizes)
    ]


def layouts() -> list[Case]:
    """Cases of unpadding and padding again: the padding becomes zeros."""

    def there_and_back(x, *, mask):
        rows = Varlen.of(mask)
        return rows.pad(rows.unpad(x))

    return [
        Case(
            f"Varlen, {name}",
            lambda x, mask=mask: there_and_back(x, mask=mask),
            lambda x, mask=mask: torch.where(mask.unsqueeze(2), x, 0.0),
            normal((*mask.shape, 3)),
            (0.0, 1e-7),
            mask,
            kernel="none",
        )
        for name, mask in MASKS.items()
    ]


SEQUENCES = [*convolutions(), *recurrent(), *layouts()]
