"""Checks of optional packages, before the work that needs them."""

import importlib.util

from speechseq.errors import MachineError

_MODULES = {
    "espeak": ("espeakng_loader",),
    "judge": ("pocketsphinx",),
    "style": ("zuko", "ot"),  # ot is the package POT
}


def need(*extras: str) -> None:
    """Check that optional packages are installed, without importing them.

    Call it before the import of such a package.

    Args:
        extras: names of groups of optional packages of speechseq ("extras"): "espeak", "judge" or
            "style".

    Raises:
        MachineError: a package is missing; the cure is the command that installs it.
    """
    absent = {e: [m for m in _MODULES[e] if not _is_installed(m)] for e in extras}
    missing = [extra for extra, modules in absent.items() if modules]
    if missing:
        modules = [module for extra in missing for module in absent[extra]]
        verb = "is" if len(modules) == 1 else "are"
        problem = f"this needs {' and '.join(modules)}, which {verb} not installed"
        raise MachineError(problem, f"pip install 'speechseq[{','.join(missing)}]'")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
