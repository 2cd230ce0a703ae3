"""Plain LAS with packed sequences, whose backward pass is quadratic on a CPU."""

from plain_las import update_of
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class PackedBiLSTM(nn.Module):
    """Bidirectional nn.LSTM over a packed sequence."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, 256, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map (batch, time, width) to (batch, time, 512), zero after each row's length."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


NAME = "plain torch, packed"
STEPS = {"update a LAS": update_of(PackedBiLSTM)}
