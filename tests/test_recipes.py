"""Every recipe runs from corpus to report, and every overlay names real numbers."""

import json
from pathlib import Path

import pytest

from speechseq.cli import main
from speechseq.cli.overlay import overlay, read_file
from speechseq.cli.train import load_recipe
from speechseq.corpus import espeak
from speechseq.evaluation.judge import Judge
from speechseq.inference.synthesizer import Synthesizer

RECIPES = Path(__file__).parents[1] / "recipes"
SENTENCES = (
    "Printing differs from most of the arts and crafts.",
    "The invention of movable letters was a great thing.",
    "It is of the first importance that the letter be fine.",
    "The forms of printed letters should be beautiful.",
    "Fifty pages of it are still to be seen.",
)
OVERLAYS = {
    "tacotron2_cpu.yaml": "tts/ljspeech_tacotron2.py",
    "tacotron2_warm.yaml": "tts/ljspeech_tacotron2.py",
    "tacotron_cpu.yaml": "tts/ljspeech_tacotron.py",
}
OTHER_OVERLAYS = {
    "las_cpu.yaml": "asr/librispeech_las.py",
    "digits_unseen_speaker.yaml": "asr/spoken_digits.py",
}
TINY = ["--trainer.updates", "2", "--trainer.tensorboard", "false", "--seed", "3"]


@pytest.fixture(scope="module")
def ljspeech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The standard folder, with sentences that espeak speaks."""
    root = tmp_path_factory.mktemp("LJSpeech")
    cuts = espeak.speak(SENTENCES, root / "made", rate=200)
    (root / "wavs").symlink_to(root / "made" / "wavs")
    rows = [f"{cut.id}|{cut.supervisions[0].text}|{cut.supervisions[0].text}\n" for cut in cuts]
    (root / "metadata.csv").write_text("".join(rows), "utf-8")
    return root


def check_run(run: Path) -> None:
    """A run leaves log, checkpoints and report; its checkpoint folder alone is enough to speak."""
    assert "<audio" in (run / "report.html").read_text("utf-8")
    assert (run / "log.jsonl").stat().st_size > 0
    assert list((run / "pictures").glob("2-*-alignment.png"))
    assert list((run / "audio").glob("2-*.wav"))
    (speech,) = Synthesizer.load(run / "checkpoints/last").synthesize(["one two"], max_steps=5)
    assert speech.waveform.isfinite().all()


@pytest.mark.slow
def test_the_digits_recipe_runs_from_corpus_to_report(tmp_path: Path) -> None:
    flags = ["--utterances", "10", "--test_utterances", "2", "--frames_per_batch", "500"]
    command = ["train", str(RECIPES / "tts/spoken_digits.py"), "--run", str(tmp_path / "run")]
    assert main([*command, *TINY, *flags]) == 0
    check_run(tmp_path / "run")


@pytest.mark.slow
def test_the_recipe_of_any_sentence_runs_from_texts_to_report(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(SENTENCES), "utf-8")
    flags = ["--texts", str(texts), "--test_sentences", "2", "--digit_strings", "3"]
    command = ["train", str(RECIPES / "tts/any_sentence.py"), "--run", str(tmp_path / "run")]
    assert main([*command, *TINY, *flags]) == 0
    check_run(tmp_path / "run")


@pytest.mark.slow
def test_the_known_prosody_recipe_runs_from_corpus_to_style_card(tmp_path: Path) -> None:
    flags = ["--utterances", "12", "--test_utterances", "3", "--frames_per_batch", "900"]
    flags += ["--model.decoder.spare_frames", "60", "--model.decoder.frames_per_token", "1"]
    flags += ["--voices", "[en-us+f4, en-us+m3]"]
    command = ["train", str(RECIPES / "tts/known_prosody.py"), "--run", str(tmp_path / "run")]
    assert main([*command, *TINY, *flags]) == 0
    card = json.loads((tmp_path / "run/checkpoints/last/style_card.json").read_text("utf-8"))
    assert [knob["name"] for knob in card["knobs"]] == list("01234567")
    found = json.loads((tmp_path / "run/style.json").read_text("utf-8"))
    parts = {"recovered", "directions", "same_text", "other_text", "text_probe", "prior"}
    assert parts <= set(found)
    assert set(found["speakers"]["by_speaker"]) == {"en-us+f4", "en-us+m3"}
    page = (tmp_path / "run/report.html").read_text("utf-8")
    assert "<audio" in page
    assert "Voices known" in page


@pytest.mark.slow
def test_the_styled_voice_recipe_runs_from_a_speaker_column_to_voices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "sentences", Judge.digits)  # noise is judged faster so
    voices = ("en-us", "en-us+f4")
    root, rows = tmp_path / "voices", []
    plan = [
        espeak.Utterance(id=f"{i}-{j}", text=text, voice=voice, rate=220)
        for i, voice in enumerate(voices)
        for j, text in enumerate(SENTENCES)
    ]
    for cut in espeak.speak(plan, root / "made"):
        rows.append(f"{cut.id}|{cut.supervisions[0].text}|{cut.supervisions[0].speaker}\n")
    (root / "wavs").symlink_to(root / "made" / "wavs")
    (root / "metadata.csv").write_text("".join(rows), "utf-8")
    run = tmp_path / "run"
    flags = ["--root", str(root), "--cache", str(tmp_path / "cache"), "--dev", "2", "--test", "1"]
    flags += ["--frames_per_batch", "900", "--judged", "2", "--style", "gst"]
    flags += ["--model.decoder.spare_frames", "20", "--model.decoder.frames_per_token", "1"]
    command = ["train", str(RECIPES / "tts/styled_voice.py"), "--run", str(run)]
    cpu = ["--config", str(RECIPES / "overlays/tacotron2_cpu.yaml")]
    assert main([*command, *cpu, *TINY, *flags]) == 0
    found = json.loads((run / "style.json").read_text("utf-8"))
    assert set(found["speakers"]["by_speaker"]) == set(voices)
    assert found["style"] == "gst"
    assert (run / "checkpoints/last/style_card.json").exists()
    assert list((run / "audio").glob("2-*.wav"))
    assert "<audio" in (run / "report.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("numbers", "recipe"), OVERLAYS.items())
def test_an_ljspeech_recipe_runs_from_corpus_to_report(
    numbers: str, recipe: str, ljspeech_folder: Path, tmp_path: Path
) -> None:
    flags = ["--root", str(ljspeech_folder), "--cache", str(tmp_path / "cache"), "--judged", "1"]
    flags += ["--dev", "2", "--test", "1", "--frames_per_batch", "900"]
    flags += ["--model.decoder.spare_frames", "20", "--model.decoder.frames_per_token", "1"]
    command = ["train", str(RECIPES / recipe), "--config", str(RECIPES / "overlays" / numbers)]
    assert main([*command, *TINY, *flags, "--run", str(tmp_path / "run")]) == 0
    check_run(tmp_path / "run")


@pytest.mark.slow
def test_the_language_model_recipe_runs_from_texts_to_perplexities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, texts = tmp_path / "run", tmp_path / "84.trans.txt"
    lines = [f"84-121123-{i:04d} {text.upper()}\n" for i, text in enumerate(SENTENCES * 2)]
    texts.write_text("".join(lines), "utf-8")
    flags = ["--texts", str(texts), "--held_out", "2", "--ngrams", "3", "--word_ngrams", "2"]
    command = ["train", str(RECIPES / "lm/sentences.py"), "--run", str(run)]
    assert main([*command, *TINY, *flags, "--pieces", "30"]) == 0
    assert (run / "symbols.arpa").exists()
    printed = capsys.readouterr().out
    figures = [float(line.split()[-1]) for line in printed.splitlines()[-3:]]
    assert figures[1] < figures[0]  # an LSTM of two updates knows less than counts
    capsys.readouterr()
    assert main(["info", str(run)]) == 0
    told = capsys.readouterr().out
    assert "none: a model of text alone" in told
    assert "34 entries, sentencepiece pieces" in told


def test_every_overlay_is_tested() -> None:
    names = {path.name for path in (RECIPES / "overlays").iterdir()}
    assert names == set(OVERLAYS) | set(OTHER_OVERLAYS)


@pytest.mark.parametrize(("numbers", "recipe"), (OVERLAYS | OTHER_OVERLAYS).items())
def test_an_overlay_names_only_numbers_of_its_recipe(numbers: str, recipe: str) -> None:
    settings = load_recipe(RECIPES / recipe).Settings()
    path = RECIPES / "overlays" / numbers
    laid = overlay(settings, read_file(path), str(path))
    assert getattr(laid, "device", "cpu") == "cpu"


def test_the_overlay_of_a_warm_start_has_the_model_of_the_demos_voice() -> None:
    path = RECIPES / "overlays/tacotron2_warm.yaml"
    settings = load_recipe(RECIPES / "tts/ljspeech_tacotron2.py").Settings()
    laid = overlay(settings, read_file(path), str(path))
    voice = load_recipe(RECIPES / "tts/any_sentence.py").Settings()
    assert (laid.model, laid.audio) == (voice.model, voice.audio)  # type: ignore[attr-defined]


def test_recipes_own_no_loop_over_batches() -> None:
    for path in RECIPES.glob("*/*.py"):
        assert "for batch in" not in path.read_text("utf-8"), path
