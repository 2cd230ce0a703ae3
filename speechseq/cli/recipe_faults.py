"""Errors in user code: in a recipe, or in a part that a recipe defines."""

import contextlib
import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from traceback import FrameSummary

import speechseq
from speechseq.cli.machine_faults import machine_error
from speechseq.errors import ConfigError, SpeechseqError

_OURS = str(Path(speechseq.__file__).parent)
_LIBRARIES = tuple({*sysconfig.get_paths().values()} - {sysconfig.get_paths()["data"]})
_FRAME = re.compile(r'^ *File "(.+)", line (\d+), in (.+)$', re.MULTILINE)
_CALL = "check what is passed there; when that is right, report it to speechseq"


class RecipeError(ConfigError):
    """Error in the code of a recipe, as opposed to one in its settings or in speechseq.

    Attributes:
        trace: lines of the traceback that help the recipe's author.
    """

    trace = ""


@contextlib.contextmanager
def recipe_code() -> Iterator[None]:
    """Context manager that turns errors in a recipe's code into RecipeErrors.

    An error belongs to the recipe if its traceback has a frame outside of Python, installed
    libraries and speechseq. SpeechseqErrors and errors of the machine pass unchanged.

    Raises:
        RecipeError: the recipe or a part that it defines failed; the message names file and line.
    """
    try:
        yield
    except (SpeechseqError, BrokenPipeError):
        raise
    except Exception as error:
        if machine_error(error) is None and (fault := _recipe_fault(error)) is not None:
            raise fault from error
        raise


def _recipe_fault(error: Exception) -> RecipeError | None:
    if isinstance(error, SyntaxError) and _is_recipe(str(error.filename)):
        return _fault(f"{error.filename}:{error.lineno}: {_said(error)}", "mend this line", error)
    frames = [*traceback.extract_tb(error.__traceback__), *_frames_of_worker(error)]
    recipes = [frame for frame in frames if _is_recipe(frame.filename)]
    if not recipes:
        return None
    if ours := [frame for frame in frames if frame.filename.startswith(_OURS)]:
        last_call = frames.index(recipes[-1]) < frames.index(ours[-1])
    else:
        last_call = False
    place = f"{recipes[-1].filename}:{recipes[-1].lineno}"
    if last_call:
        problem = f"{place}: this call ended in {_said(error)}"
        return _fault(problem, _CALL, error, frames)
    return _fault(f"{place}: {_said(error)}", _cure(error), error, recipes)


def _fault(
    problem: str, cure: str, error: Exception, frames: list[FrameSummary] | None = None
) -> RecipeError:
    found = RecipeError(problem, cure)
    head = ["Traceback of the recipe (most recent call last):\n"] if frames else []
    shown = traceback.StackSummary.from_list(frames or []).format()
    found.trace = "".join([*head, *shown, *traceback.format_exception_only(error)]).rstrip()
    return found


def _said(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = text.strip().splitlines()[-1] if text.strip() else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _cure(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install the package that has {error.name}, or mend the import"
    return "mend the recipe at this line"


def _is_recipe(file: str) -> bool:
    foreign = file.startswith((*_LIBRARIES, _OURS, "<frozen")) or "-packages" in file
    return not foreign


def _frames_of_worker(error: Exception) -> Iterator[FrameSummary]:
    """Frames of a data loader's worker, parsed from the traceback in the error's message."""
    _, found, text = str(error).partition("Original Traceback")
    for file, line, name in _FRAME.findall(text) if found else ():
        yield FrameSummary(file, int(line), name)
