"""Plain LAS with exact lengths and without packing: two LSTMs, one over reversed rows."""

import torch
from plain_las import update_of
from torch import Tensor, nn


class ReversingBiLSTM(nn.Module):
    """Two unidirectional LSTMs; the second reads every row from its own last frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(width, 256, batch_first=True)
        self.back = nn.LSTM(width, 256, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map (batch, time, width) to (batch, time, 512), zero after each row's length."""
        time = torch.arange(x.shape[1], device=x.device)
        valid = time < lengths.unsqueeze(1)
        order = torch.where(valid, lengths.unsqueeze(1) - 1 - time, time)
        back = _rows(self.back(_rows(x, order))[0], order)
        return torch.cat([self.ahead(x)[0], back], 2) * valid.unsqueeze(2)


def _rows(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(1, order.unsqueeze(2).expand(-1, -1, x.shape[2]))


NAME = "plain torch, exact lengths"
STEPS = {"update a LAS": update_of(ReversingBiLSTM)}
