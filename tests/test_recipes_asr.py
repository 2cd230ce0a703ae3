"""Every recipe of recognition runs from corpus to report, and resumes to the same end."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechseq.cli import main
from speechseq.corpus.joining_ways import TESTED
from speechseq.corpus.spoken_digits import WORDS
from speechseq.inference.transcriber import Transcriber

RECIPES = Path(__file__).parents[1] / "recipes"
TINY = [
    *("--trainer.updates", "2", "--trainer.tensorboard", "false", "--trainer.schedule.warmup", "1"),
    *("--trainer.schedule.start", "1", "--trainer.schedule.end", "2", "--seed", "3"),
    *("--model.listener.hidden", "8", "--model.speller.hidden", "8", "--search.size", "2"),
    *("--search.limit.tokens_per_position", "0.1"),
]
TEXTS = (
    "the cat sat on the mat",
    "a dog ran after the cat",
    "the mat was on the dog",
    "cats and dogs ran on",
    "a cat and a dog sat",
    "the dogs sat after that",
)


def tones(rate: int, seconds: float, pitch: float) -> np.ndarray:
    noise = np.random.default_rng(int(pitch)).normal(0, 0.01, int(rate * seconds))
    return 0.3 * np.sin(2 * np.pi * pitch * np.arange(len(noise)) / rate) + noise


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of the FSDD: two speakers, ten digits that are tones, two recordings of each."""
    root = tmp_path_factory.mktemp("fsdd")
    rows = {"train": ["path\ttext\tspeaker"], "test": ["path\ttext\tspeaker"]}
    for speaker in ("anna", "bert"):
        for digit, word in enumerate(WORDS):
            for take, part in enumerate(rows):
                path = root / f"{digit}_{speaker}_{take}.flac"
                sound = tones(8000, 0.2, 300 + 250 * digit + 20 * take + 50 * (speaker == "anna"))
                soundfile.write(path, sound, 8000)
                rows[part].append(f"{path.name}\t{word}\t{speaker}")
    for part, lines in rows.items():
        (root / f"{part}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return root


def check_run(run: Path) -> None:
    """A run leaves log, checkpoints, report; its checkpoint folder alone can transcribe."""
    assert "<audio" in (run / "report.html").read_text("utf-8")
    assert (run / "log.jsonl").stat().st_size > 0
    transcriber = Transcriber.load(run / "checkpoints/last")
    rate = transcriber.audio.sample_rate
    sound = np.float32(tones(rate, 0.5, 440))
    (transcript,) = transcriber.transcribe([(torch.from_numpy(sound), rate)], beam=2)
    assert transcript.seconds == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("held_out", ["", "bert"])
def test_the_digits_recipe_runs_and_keeps_a_speaker_apart(digits_folder, tmp_path, held_out):
    run = tmp_path / "run"
    flags = ["--root", str(digits_folder), "--run", str(run), "--held_out", held_out]
    flags += ["--utterances", "12", "--test_utterances", "3", "--long_utterances", "1"]
    flags += ["--longest", "2", "--joined_utterances", "1", "--wordless", "4"]
    flags += ["--content", str(bool(held_out)).lower()]
    assert main(["train", str(RECIPES / "asr/spoken_digits.py"), *TINY, *flags]) == 0
    check_run(run)
    result = json.loads((run / "result.json").read_text())
    assert set(result["wer"]) == {"short", "long"}
    assert set(result["joining"]["wer"]) == set(TESTED)
    learned = json.loads((run / "corpus/train/manifest.json").read_text())["utterances"]
    assert {utterance["speaker"] for utterance in learned} == {"anna", "bert"} - {held_out}


@pytest.mark.slow
def test_the_sentences_recipe_runs_from_corpus_to_report(tmp_path):
    run = tmp_path / "run"
    flags = ["--run", str(run), "--utterances", "8", "--test_utterances", "2"]
    assert main(["train", str(RECIPES / "asr/espeak_sentences.py"), *TINY, *flags]) == 0
    check_run(run)
    assert set(json.loads((run / "result.json").read_text())) > {"seen voices", "unseen voices"}


@pytest.mark.slow
def test_the_librispeech_recipe_runs_from_corpus_to_report(tmp_path):
    root = tmp_path / "LibriSpeech"
    for part, texts in (("train-clean-5", TEXTS), ("dev-clean-2", TEXTS[:2])):
        folder = root / part / "7" / "21"
        folder.mkdir(parents=True)
        lines = []
        for number, text in enumerate(texts):
            name = f"7-21-{number:04d}"
            soundfile.write(folder / f"{name}.flac", tones(16000, 0.9, 300 + 90 * number), 16000)
            lines.append(f"{name} {text.upper()}\n")
        (folder / "7-21.trans.txt").write_text("".join(lines))
    run, numbers = tmp_path / "run", RECIPES / "overlays/las_cpu.yaml"
    flags = ["--config", str(numbers), "--root", str(root), "--cache", str(tmp_path / "cache")]
    flags += ["--run", str(run), "--pieces", "20", "--loss.ctc_from", "0", "--loss.ctc_to", "1"]
    assert main(["train", str(RECIPES / "asr/librispeech_las.py"), *flags, *TINY]) == 0
    check_run(run)
    assert list((run / "pictures").glob("2-dev*-alignment.png"))


@pytest.mark.slow
def test_the_an4_recipe_runs_from_corpus_to_report(tmp_path):
    root = tmp_path / "an4"
    root.mkdir()
    for part, texts in (("train", TEXTS), ("test", TEXTS[:2])):
        rows = ["path\ttext\tspeaker"]
        for number, text in enumerate(texts):
            name = f"{part}{number}.wav"
            soundfile.write(root / name, tones(16000, 0.9, 300 + 90 * number), 16000)
            rows.append(f"{name}\t{text.upper()}\tann")
        (root / f"{part}.tsv").write_text("\n".join(rows) + "\n")
    run = tmp_path / "run"
    flags = ["--root", str(root), "--cache", str(tmp_path / "cache"), "--run", str(run)]
    assert main(["train", str(RECIPES / "asr/an4_las.py"), *flags, *TINY, "--threads", "1"]) == 0
    check_run(run)


@pytest.mark.slow
def test_the_speech_chain_trains_ears_and_hears_the_voice_of_another_run(tmp_path):
    voice, run = tmp_path / "voice", tmp_path / "ears"
    flags = ["--trainer.updates", "2", "--utterances", "10", "--test_utterances", "2"]
    flags += ["--frames_per_batch", "500", "--seed", "3", "--model.decoder.spare_frames", "20"]
    flags += ["--model.decoder.frames_per_token", "1", "--run", str(voice)]
    assert main(["train", str(RECIPES / "tts/spoken_digits.py"), *flags]) == 0
    flags = ["--voice", str(voice), "--voice_strings", "2", "--voice_seed", "3"]
    flags += ["--utterances", "10", "--test_utterances", "2", "--run", str(run)]
    assert main(["train", str(RECIPES / "asr/speech_chain.py"), *TINY, *flags]) == 0
    check_run(run)
    page = (run / "report.html").read_text("utf-8")
    assert "Asked, spoken, heard" in page
    assert "The speech chain" in page
