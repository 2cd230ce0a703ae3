"""Early checks of device and folders, so that a run does not fail on them after long work."""

from pathlib import Path

from speechseq.config import Config
from speechseq.errors import SpeechseqError
from speechseq.file_writing import check_folder, check_output

_FOLDERS = ("checkpoints", "pictures", "audio", "tensorboard", "corpus")
_FILES = (".lock", "log.jsonl", "report.html", "result.json")


def check_start(settings: Config, run: Path) -> None:
    """Check what a recipe needs before it starts: its device, and folders that can be written.

    Args:
        settings: settings of the recipe. Its fields `device` and `cache` (a folder) are checked, if
            it has them.
        run: folder of the run. No files are left behind.

    Raises:
        ConfigError: the run needs a folder at the path of a file, or a file at that of a folder.
        MachineError: the device does not exist, or the folder cannot be written.
    """
    device = getattr(settings, "device", None)
    if isinstance(device, str):
        _check_device(device)
    if isinstance(cache := getattr(settings, "cache", None), str):
        check_folder(Path(cache))
    check_folder(run)
    for name in _FOLDERS:
        check_folder(run / name)
    for name in _FILES:
        check_output(run / name)


def _check_device(name: str) -> None:
    from speechseq.inference.device import checked_device  # imports torch, as every recipe does

    try:
        checked_device(name)
    except SpeechseqError as error:
        raise type(error)(f"--device: {error.problem}", "give --device cpu") from None
