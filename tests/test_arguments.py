"""Lengths and tokens of every integer type are taken, others refused, at all public functions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from speechseq.arguments import INTEGERS, checked_ids, checked_lengths, checked_tokens
from speechseq.errors import ConfigError, DataError

LENGTHS = torch.tensor([9, 7])


def test_every_public_function_takes_any_integers_and_refuses_the_rest() -> None:
    """The check runs in its own process, without executed annotations: a crash would end it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("length_doors.py"))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=environment, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr[-2000:]


@pytest.mark.parametrize("kind", sorted(INTEGERS, key=str))
def test_integers_of_every_type_become_int64(kind: torch.dtype) -> None:
    assert checked_lengths(LENGTHS.to(kind), (2, 9)).dtype == torch.int64
    assert checked_lengths(LENGTHS.to(kind), (2, 9)).tolist() == [9, 7]


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([9, 10], r"n\[1\] is 10, and the rows are padded to 9"),
        ([0, 9], r"n\[0\] is 0, less than 1"),
        ([9, 2**62], r"n\[1\] is 4611686018427387904"),
    ],
)
def test_a_length_out_of_range_is_named(lengths: list[int], said: str) -> None:
    with pytest.raises(DataError, match=said):
        checked_lengths(torch.tensor(lengths), (2, 9), "n", least=1)


@pytest.mark.parametrize("lengths", [LENGTHS.float(), LENGTHS > 1, LENGTHS[:1], LENGTHS[:, None]])
def test_what_is_no_row_of_integers_is_refused(lengths: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"n: (.|\n)*cure"):
        checked_lengths(lengths, (2, 9), "n")


def test_an_id_outside_of_the_vocabulary_is_named() -> None:
    ids = checked_tokens(torch.tensor([[1, 20]], dtype=torch.int16))
    assert ids.dtype == torch.int64
    with pytest.raises(DataError, match="id 20 is not in the vocabulary of 20 symbols"):
        checked_ids(ids, 20)


@pytest.mark.filterwarnings("ignore")
def test_values_are_not_read_while_a_function_is_traced() -> None:
    traced = torch.jit.trace(lambda n: checked_lengths(n, (2, None)), LENGTHS, check_trace=False)
    assert traced(torch.tensor([3, 4], dtype=torch.int64)).tolist() == [3, 4]
