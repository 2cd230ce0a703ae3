"""Numbers of samples a second that recorders make."""

from speechseq.errors import DataError

AGAIN = "copy, download or make it again"
_SLOWEST, _FASTEST = 1000, 1_000_000


def check_rate(name: str, rate: int) -> None:
    """Raise DataError for a number of samples a second that no recorder makes."""
    if not _SLOWEST <= rate <= _FASTEST:
        raise DataError(f"{name}: the header claims {rate} samples a second", AGAIN)
