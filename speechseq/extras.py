"""Checks of optional packages, before the work that needs them."""

import importlib.util

from speechseq.errors import MachineError

_MODULES = {"espeak": "espeakng_loader", "judge": "pocketsphinx"}


def need(*extras: str) -> None:
    """Check that optional packages are installed, without importing them.

    Args:
        extras: names of speechseq's extras, "espeak" or "judge".

    Raises:
        MachineError: a package is missing; the cure is the command that installs it.
    """
    missing = [extra for extra in extras if not _is_installed(_MODULES[extra])]
    if missing:
        names = " and ".join(_MODULES[extra] for extra in missing)
        problem = f"this needs {names}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise MachineError(problem, f"pip install 'speechseq[{','.join(missing)}]'")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
