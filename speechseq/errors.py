"""Errors for users: the problem, its cure, and the exit code of the command."""


class SpeechseqError(Exception):
    """Error that a user can fix.

    Args:
        problem: what is wrong, naming the file, line or key.
        cure: how to fix it, one sentence; printed on its own line.

    Examples:
        >>> error = DataError("one.wav: has 0 samples", "remove it or make it again")
        >>> print(error)
        one.wav: has 0 samples
          cure: remove it or make it again
        >>> error.exit_code
        3
    """

    exit_code = 1

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(problem if not cure else f"{problem}\n  cure: {cure}")
        self.problem = problem
        self.cure = cure


class ConfigError(SpeechseqError):
    """Error in usage or configuration: an unknown key, a wrong type, a number out of range."""

    exit_code = 2


class DataError(SpeechseqError):
    """Error in data: a truncated WAV, a bad metadata row, an unknown symbol."""

    exit_code = 3


class CheckpointError(SpeechseqError):
    """Error in a checkpoint: truncated, empty, of another model, or not as it describes itself."""

    exit_code = 4


class MachineError(SpeechseqError):
    """Error of the machine: a full disk, a missing device, a missing optional package."""

    exit_code = 5
