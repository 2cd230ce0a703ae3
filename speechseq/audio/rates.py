"""Plausible sample rates of recordings."""

from speechseq.errors import DataError

AGAIN = "copy, download or make it again"
_SLOWEST, _FASTEST = 1000, 1_000_000


def check_rate(name: str, rate: int) -> None:
    """Check that a sample rate is plausible for a recording: 1000 Hz to 1 MHz.

    Args:
        name: the file, for the message.
        rate: samples per second.

    Raises:
        DataError: the rate is not plausible.
    """
    if not _SLOWEST <= rate <= _FASTEST:
        raise DataError(f"{name}: the header claims {rate} samples a second", AGAIN)
