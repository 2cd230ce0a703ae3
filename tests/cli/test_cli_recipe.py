"""A recipe's settings come from defaults, overlays and flags, and mistakes are named."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from speechseq import checkpoint
from speechseq.cli import main, run_recipe
from speechseq.cli.overlay import leaves, nested, parse
from speechseq.cli.parser import Parser
from speechseq.cli.recipe import read_flags
from speechseq.cli.train import load_recipe
from speechseq.config import Config, choice
from speechseq.errors import CheckpointError, ConfigError
from speechseq.text.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dot(Config):
    kind: ClassVar[str] = "dot"
    dim: int = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wide(Config):
    kind: ClassVar[str] = "wide"
    dim: int = 4
    width: int = 31


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(Config):
    """A part that the choice does not list: its author's own."""

    kind: ClassVar[str] = "own"
    reach: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainer(Config):
    updates: int = 100
    rate: float = 1e-3
    clip: float | None = None
    sizes: tuple[int, ...] = (256, 128)
    attention: Config = choice(Dot, Wide, default=Wide())
    other: Config = choice(Dot, default=Own())

    def check(self) -> None:
        if self.updates < 1:
            raise ConfigError(
                f"updates: {self.updates} is not positive", "set updates to 1 or more"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    seed: int = 0
    low: int = 1
    high: int = 9
    amp: bool = False
    root: str = "data"
    trainer: Trainer = Trainer()

    def check(self) -> None:
        if self.low >= self.high:
            raise ConfigError(f"low: {self.low} is not below high {self.high}")


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., tuple[Settings, Path]]:
    """Runs a recipe and gives what its main got."""

    def run(*argv: object) -> tuple[Settings, Path]:
        got: list = []

        def recipe(settings: Settings, run: Path) -> None:
            got.append((settings, run))

        assert run_recipe(recipe, Settings, [str(word) for word in argv]) == 0
        return got[0]

    return run


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The message with which a recipe refuses its flags."""

    def recipe(settings: Settings, run: Path) -> None:
        pytest.fail("the recipe ran")

    assert run_recipe(recipe, Settings, [str(word) for word in argv]) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_without_flags_a_recipe_gets_its_defaults(given: Callable) -> None:
    assert given() == (Settings(), Path("runs/test_cli_recipe"))


def test_flags_reach_their_place(given: Callable) -> None:
    settings, run = given(
        *("--run", "here", "--seed=3", "--amp", "true", "--root", "2024"),
        *("--trainer.updates", "5", "--trainer.sizes", "[1, 2, 3]", "--trainer.clip", "0.5"),
        *("--trainer.attention.width", "7", "--trainer.other.reach", "9"),
    )
    assert run == Path("here")
    trainer = Trainer(
        updates=5, sizes=(1, 2, 3), clip=0.5, attention=Wide(width=7), other=Own(reach=9)
    )
    assert settings == Settings(seed=3, amp=True, root="2024", trainer=trainer)


def test_flags_that_make_sense_together_are_set_together(given: Callable) -> None:
    settings, _ = given("--low", 20, "--high", 30)
    assert (settings.low, settings.high) == (20, 30)


def test_of_many_flags_only_those_alike_are_named() -> None:
    parser = Parser(prog="x")
    for name in ["run", "trainer.updates", "trainer.rate", *(f"model.p{i}" for i in range(30))]:
        parser.add_argument(f"--{name}")
    for wrong in ("--trainer.updtes", "--updates", "--trainr.updates"):
        with pytest.raises(ConfigError) as caught:
            parser.parse_args([wrong, "3"])
        assert "did you mean '--trainer.updates'?" in caught.value.cure
        assert len(caught.value.cure) < 150


def test_overlays_come_in_turn_and_flags_last(given: Callable, tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("seed: 1\ntrainer:\n  updates: 10\n  attention: {width: 3}\n")
    second.write_text("trainer:\n  updates: 20\n  clip: null\n")
    settings, _ = given("--config", first, "--config", second, "--seed", "4")
    assert (settings.seed, settings.trainer.updates) == (4, 20)
    assert settings.trainer.attention == Wide(width=3)


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "-2e5", "+.5e1", "3.e2"])
def test_numbers_with_exponents_are_numbers(number: str, given: Callable, tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-3 as a string."""
    overlay = tmp_path / "a.yaml"
    overlay.write_text(f"trainer: {{rate: {number}}}")
    assert given("--config", overlay)[0].trainer.rate == float(number)
    assert given(f"--trainer.rate={number}")[0].trainer.rate == float(number)


MISTAKES = {
    "misspelt": ("trainer: {updtes: 5}", ["trainer.updtes: unknown key", "did you mean 'updates'"]),
    "misspelt section": ("trianer: {updates: 5}", ["trianer: unknown key", "'trainer'"]),
    "wrong type": ("trainer: {updates: many}", ["trainer.updates: expected int, got 'many'"]),
    "fraction": ("trainer: {updates: 1.5}", ["trainer.updates: expected int, got 1.5"]),
    "truth for a number": ("seed: true", ["seed: expected int, got True"]),
    "number for a section": ("trainer: 3", ["trainer: expected a mapping"]),
    "section for a number": ("seed: {a: 3}", ["seed: expected int"]),
    "out of range": ("trainer: {updates: 0}", ["updates: 0 is not positive", "cure: set updates"]),
    "chooses a part": ("trainer: {attention: {kind: dot}}", ["trainer.attention.kind", "recipe"]),
    "key of another part": ("trainer: {other: {width: 3}}", ["trainer.other.width: unknown key"]),
    "a list": ("- seed", ["expected a mapping"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_an_overlay_name_file_key_and_cure(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text, expected = MISTAKES[name]
    overlay = tmp_path / "numbers.yaml"
    overlay.write_text(text)
    message = refused(capsys, "--config", overlay)
    for part in ["numbers.yaml", *expected]:
        assert part in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 1\ntrainer:\n  updates: [1\n", ":4"),
        ("seed: 1\nseed: 2\n", ":2: key 'seed' stands twice"),
        ("seed: !!python/object/apply:os.getcwd []\nx: 1", ":1: could not determine a constructor"),
    ],
)
def test_yaml_that_cannot_be_read_names_the_line(
    text: str, expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    overlay = tmp_path / "numbers.yaml"
    overlay.write_text(text)
    assert f"numbers.yaml{expected}" in refused(capsys, "--config", overlay)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--trainer.updtes", "5"], ["--trainer.updtes", "did you mean '--trainer.updates'"]),
        (["--trainer.updates", "x"], ["trainer.updates: expected int, got 'x'"]),
        (["--trainer.updates"], ["--trainer.updates: expected one argument"]),
        (["--trainer.updates", "-3"], ["updates: -3 is not positive"]),
        (["--up", "5"], ["unknown flag --up"]),
        (["--config", "missing.yaml"], ["missing.yaml: no such file"]),
        (["stray"], ["unrecognized arguments: stray"]),
    ],
)
def test_mistakes_in_flags(
    flags: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, *flags)
    for part in expected:
        assert part in message


def test_dotted_keys_and_nesting_are_inverse() -> None:
    data = {"a": {"kind": "x", "b": {"c": 1}}, "d": [1, 2]}
    assert dict(leaves(data)) == {"a.b.c": 1, "d": [1, 2]}
    assert nested("a.b.c", 1) == {"a": {"b": {"c": 1}}}


def test_an_empty_overlay_changes_nothing(given: Callable, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("# nothing yet\n")
    assert given("--config", tmp_path / "none.yaml")[0] == Settings()
    assert parse("", "text") is None


RECIPE = '''"""Writes down what it was given."""
import dataclasses
from pathlib import Path

from speechseq.config import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    updates: int = 3


def main(settings: Settings, run: Path) -> None:
    run.mkdir(parents=True)
    (run / "updates").write_text(str(settings.updates))
'''


def test_train_runs_a_recipe_file(tmp_path: Path) -> None:
    recipe, run = tmp_path / "tiny.py", tmp_path / "runs" / "x"
    recipe.write_text(RECIPE)
    assert main(["train", str(recipe), "--run", str(run), "--updates", "8"]) == 0
    assert (run / "updates").read_text() == "8"


def test_train_shows_a_recipes_own_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "tiny.py"
    recipe.write_text(RECIPE)
    with pytest.raises(SystemExit) as ended:
        main(["train", str(recipe), "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for part in (
        "tiny.py",
        "Writes down what it was given.",
        "--updates VALUE",
        "default: 3",
        "--run",
    ):
        assert part in shown


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("tiny.py", None, "no such recipe"),
        ("tiny.py", "x = 1\n", "no recipe: it needs a Config called Settings"),
        ("tiny.py", RECIPE.replace("def main", "def mein"), "main(settings, run)"),
        ("tiny.txt", RECIPE, "not a Python file"),
    ],
)
def test_what_is_no_recipe_is_refused(
    name: str, text: str | None, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert main(["train", str(tmp_path / name)]) == 2
    assert expected in capsys.readouterr().err


def test_a_misspelt_recipe_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits.py").write_text(RECIPE)
    assert main(["train", str(tmp_path / "digts.py")]) == 2
    assert "did you mean 'digits.py'" in capsys.readouterr().err


def test_init_is_a_flag_of_every_recipe_and_a_missing_checkpoint_is_told_at_once(
    tmp_path: Path,
) -> None:
    recipes = [*(Path(__file__).parents[2] / "recipes").glob("*/*.py")]
    assert len(recipes) >= 9
    for recipe in recipes:
        module = load_recipe(recipe)
        with pytest.raises(CheckpointError, match="no such checkpoint"):
            read_flags(module.main, module.Settings, ["--init", str(tmp_path / "none")])
        with pytest.raises(CheckpointError, match="no such checkpoint"):
            read_flags(module.main, module.Settings, ["--trainer.init", str(tmp_path / "none")])


def test_init_of_a_run_that_has_begun_is_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "checkpoints" / "3" / "config.json").write_text("{}")
    module = load_recipe(Path(__file__).parents[2] / "recipes" / "lm" / "sentences.py")
    flags = ["--init", str(tmp_path / "none"), "--run", str(tmp_path)]
    settings, _ = read_flags(module.main, module.Settings, flags)
    assert settings.trainer.init == str(tmp_path / "none")


def test_freeze_takes_the_names_of_parts(tmp_path: Path) -> None:
    module = load_recipe(Path(__file__).parents[2] / "recipes" / "tts" / "spoken_digits.py")
    for flags in (
        ["--freeze", "encoder", "decoder.stack"],
        ["--trainer.freeze", "[encoder, decoder.stack]"],
    ):
        settings, _ = read_flags(module.main, module.Settings, ["--run", str(tmp_path), *flags])
        assert settings.trainer.freeze == ("encoder", "decoder.stack")


def test_a_checkpoint_that_does_not_fit_is_refused_before_the_corpus_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load_recipe(Path(__file__).parents[2] / "recipes" / "tts" / "spoken_digits.py")
    settings = module.Settings()
    vocabulary = Vocabulary.characters("abc")
    model = settings.model.build(symbols=len(vocabulary), mels=settings.audio.mels)
    checkpoint.save(
        tmp_path / "old",
        model=settings.model,
        audio=settings.audio,
        vocabulary=vocabulary,
        weights=model.state_dict(),
        update=1,
    )
    flags = ["--run", str(tmp_path / "run"), "--init", str(tmp_path / "old")]
    read_flags(module.main, module.Settings, flags)
    for more, named in (
        (["--model.encoder.lstm", "80"], "model.encoder.lstm is 64 there, 80 here"),
        (["--audio.hop", "200"], "audio.hop is 256 there, 200 here"),
    ):
        with pytest.raises(CheckpointError) as refused:
            read_flags(module.main, module.Settings, [*flags, *more])
        assert named in refused.value.problem
    assert not (tmp_path / "run").exists()
    recipe = str(Path(__file__).parents[2] / "recipes" / "asr" / "spoken_digits.py")
    assert main(["train", recipe, *flags]) == 4
    assert "holds a model of kind 'tacotron', not 'las'" in capsys.readouterr().err
