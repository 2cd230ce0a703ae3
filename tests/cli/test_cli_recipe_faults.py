"""An error in a recipe is its author's to mend: file and line are named, and not speechseq."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from speechseq.cli import run_recipe
from speechseq.cli.recipe_faults import RecipeError, recipe_code

HEAD = '''"""Mine."""
import dataclasses
from speechseq.config import Config

@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    number: int = 1

def main(settings, run):
'''
# body of main or a whole file; the line that is to be named; what is said of it
FAULTS = {
    "exception in main": (HEAD + "    [].index(3)\n", 10, "ValueError: 3 is not in list"),
    "no such attribute": (HEAD + "    settings.nmber\n", 10, "has no attribute 'nmber'"),
    "wrong call of ours": (
        HEAD + "    from speechseq.text.vocabulary import Vocabulary\n    Vocabulary(x=1)\n",
        11,
        "TypeError: ",
    ),
    "missing package": ("import no_such_package\n", 1, "ModuleNotFoundError: No module named"),
    "no such name of ours": ("from speechseq.errors import Nope\n", 1, "cannot import name 'Nope'"),
    "syntax": ("x = 1\ndef main(:\n", 2, "SyntaxError: invalid syntax"),
    "exception at import": ("x = 1\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
    "a mechanism of its own": (
        HEAD + "    import torch\n    torch.nn.Module.__call__(Mine(), 1)\n"
        "\nimport torch\nclass Mine(torch.nn.Module):\n    def forward(self, x):\n"
        "        return x.no_such_thing\n",
        16,
        "'int' object has no attribute 'no_such_thing'",
    ),
    "a file that is missing": (HEAD + "    open('no/such/file')\n", 10, "FileNotFoundError"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_file_and_line_of_the_recipe_are_named(
    tmp_path: Path, speechseq: Callable, name: str
) -> None:
    content, line, said = FAULTS[name]
    path = tmp_path / "mine.py"
    path.write_text(content)
    ended = speechseq("train", path, "--run", tmp_path / "run")
    assert ended.code == 2
    assert f"error: {path}:{line}: " in ended.err
    assert said in ended.err
    assert "fault of speechseq" not in ended.err
    assert "speechseq/cli" not in ended.err  # of the traceback, the recipe's own frames
    assert ended.err.splitlines()[-1].startswith("  cure: ")


def test_an_error_inside_of_ours_names_the_call_too(tmp_path: Path, speechseq: Callable) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        HEAD + "    from speechseq.corpus import generated_folder\n"
        "    generated_folder.ensure(run, {}, lambda wavs: None)\n"
    )
    ended = speechseq("train", path, "--run", tmp_path / "run")
    assert f"error: {path}:11: this call ended in KeyError" in ended.err
    assert "speechseq/corpus/generated_folder.py" in ended.err  # here our frames are needed
    assert "report it" in ended.err


def test_the_worker_of_a_data_loader_is_no_place_to_hide(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = f'Caught KeyError in worker.\nOriginal Traceback\n  File "{path}", line 7, in collate\n'

    class ReRaisedError(KeyError):
        def __str__(self) -> str:
            return text + "KeyError: 'x'"

    def reraise() -> None:
        raise ReRaisedError

    reraise.__code__ = reraise.__code__.replace(co_filename="/lib/site-packages/torch/_utils.py")
    with (
        pytest.raises(RecipeError, match=rf"{path}:7: ReRaisedError: KeyError: 'x'"),
        recipe_code(),
    ):
        reraise()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("class Settings: pass\ndef main(s, r): pass\n", "needs a Config called Settings"),
        (HEAD.replace("main(settings, run)", "main(settings)") + "    pass\n", "main"),
        (HEAD.replace(": int = 1", ": int") + "    pass\n", "number"),
    ],
)
def test_a_file_that_is_no_whole_recipe(
    tmp_path: Path, speechseq: Callable, body: str, expected: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD.split("@")[0] + body if "class Settings: " in body else body)
    ended = speechseq("train", path, "--run", tmp_path / "run")
    assert ended.code == 2
    assert expected in ended.err
    assert "fault of speechseq" not in ended.err


def test_run_recipe_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine_by_itself.py"
    path.write_text(HEAD + "    [].index(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("mine_by_itself")
    assert run_recipe(module.main, module.Settings, ["--run", str(tmp_path / "run")]) == 2
    assert f"error: {path}:10: ValueError" in capsys.readouterr().err
    del sys.modules["mine_by_itself"]
