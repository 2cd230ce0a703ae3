"""The errors people meet: what is wrong, the cure, and the exit code of the command."""


class SpeechseqError(Exception):
    """An error a person can mend.

    Args:
        problem: what is wrong, naming the file, line or key.
        cure: what to do about it, one sentence; printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(problem if not cure else f"{problem}\n  cure: {cure}")
        self.problem = problem
        self.cure = cure


class ConfigError(SpeechseqError):
    """Wrong usage or configuration: an unknown key, a wrong type, a number out of range."""

    exit_code = 2


class DataError(SpeechseqError):
    """Data that cannot be used: a cut wav, a bad metadata row, an unknown symbol."""

    exit_code = 3


class CheckpointError(SpeechseqError):
    """A checkpoint that is cut, empty, of another model, or does not match its own description."""

    exit_code = 4


class MachineError(SpeechseqError):
    """The machine cannot do it: a full disk, a missing device or optional package."""

    exit_code = 5
