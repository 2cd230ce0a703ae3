"""An ASR evaluation pairs references with free-running transcripts and counts their errors."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lhotse import CutSet, Recording, SupervisionSegment
from lhotse.cut import MonoCut
from tiny_las import FRAMES, row_of, tiny_batch, tiny_config, tiny_las
from torch import Tensor

from speechseq.audio import wav
from speechseq.audio.mel import AudioConfig
from speechseq.batch import ASRBatch
from speechseq.evaluation import asr
from speechseq.evaluation.asr import Item, evaluate_asr, items_of
from speechseq.evaluation.report.page import Report, write
from speechseq.evaluation.validation import error_rate
from speechseq.inference.score import score
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.recognise import recognise
from speechseq.inference.timestamps import Word
from speechseq.inference.transcriber import Transcriber
from speechseq.inference.transcript import Transcript
from speechseq.models.las import LAS
from speechseq.nn.masks import length_mask
from speechseq.text.vocabulary import EOS, Vocabulary

AUDIO = AudioConfig.preset("las")
VOCABULARY = Vocabulary.transcripts("abc d")


class TellingRecogniser:
    """Hears in a sound the word whose number fills it, as often as it has thousands of samples."""

    audio = AUDIO
    words = ("one", "two", "three")

    def __init__(self) -> None:
        self.calls: list[int] = []

    def transcribe(
        self,
        sounds: Sequence[tuple[Tensor, int]],
        *,
        beam: int = 8,
        strategy: object = None,
        scorers: Sequence[object] = (),
    ) -> list[Transcript]:
        assert all(rate == 16000 for _, rate in sounds)
        self.calls.append(len(sounds))
        return [self.write(waveform) for waveform, _ in sounds]

    def write(self, waveform: Tensor) -> Transcript:
        word, times = self.words[int(waveform[0, 0] * 10)], waveform.shape[1] // 1000
        return Transcript(
            text=" ".join([word] * times),
            log_prob=-1.0,
            finished=times < 4,
            words=tuple(
                Word(text=word, start=0.0, end=1.0, confidence=0.4 + 0.2 * i) for i in range(times)
            ),
            tokens=(4,),
            token_confidences=(0.5,),
            symbols=("<script>", "<eos>"),
            alignment=torch.eye(2),
            seconds_per_position=0.04,
            n_best=(),
            seconds=1.0,
        )


def item(text: str, number: int, times: int, speaker: str = "", name: str = "") -> Item:
    waveform = torch.full((1, 1000 * times), number / 10 + 0.01)
    return Item(text=text, waveform=waveform, id=name, speaker=speaker)


def test_texts_and_transcripts_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asr, "_AT_ONCE", 2)
    recogniser = TellingRecogniser()
    found = evaluate_asr(
        recogniser, [item("one", 0, 1), item("two two", 1, 2, "amy", "x"), item("six", 2, 1)]
    )
    assert recogniser.calls == [2, 1]
    assert [row.hyp for row in found.score.rows] == ["one", "two two", "three"]
    assert [row.id for row in found.score.rows] == ["1", "x", "3"]
    assert [row.speaker for row in found.score.rows] == ["", "amy", ""]
    assert found.score.wer == pytest.approx(1 / 4)
    assert found.scores == pytest.approx({"focus": 1.0, "coverage": 1.0, "monotonicity": 1.0})
    assert "WER 0.2500 (0.000 to " in found.line()
    assert "(4 words in 3 utterances, 1 with an error, 0 unfinished)" in found.line()


def test_a_normalizer_makes_of_a_text_what_was_taught() -> None:
    found = evaluate_asr(TellingRecogniser(), [item("ONE", 0, 1)], normalizer=str.lower)
    assert found.score.wer == 0.0


def test_a_transcriber_can_be_evaluated() -> None:
    audio = AudioConfig(n_fft=256, hop=80, window=200, mels=12, sample_rate=8000, fmax=4000.0)
    model = tiny_config().build(symbols=len(VOCABULARY), features=audio.features)
    transcriber = Transcriber(model.eval(), VOCABULARY, audio)
    waveforms = [0.3 * torch.randn(1, samples) for samples in (4000, 9000, 2500)]
    items = [Item(text="ab c", waveform=waveform) for waveform in waveforms]
    found = evaluate_asr(transcriber, items, strategy=Greedy())
    for waveform, row in zip(waveforms, found.score.rows, strict=True):
        (alone,) = transcriber.transcribe([(waveform, 8000)], strategy=Greedy())
        assert row.hyp == " ".join(alone.text.split())
    assert all(0 <= value <= 1 for value in found.scores.values())


def test_no_items_to_transcribe_are_no_fault() -> None:
    line = evaluate_asr(TellingRecogniser(), []).line()
    assert line.startswith("WER 0.0000, CER 0.0000 (0 words in 0 ")


def test_the_page_shows_sounds_errors_and_confidence(tmp_path: Path) -> None:
    items = [item("one two", 0, 2, "amy"), item("two", 1, 4, "zoe"), item("", 2, 0, "zoe")]
    items[2] = Item(text="", waveform=torch.full((1, 999), 0.21))
    found = evaluate_asr(TellingRecogniser(), items)
    further = found.section(title="The voice, read back", shown=1)
    section = found.section(curves={"loss/total": [(1, 2.0), (2, 1.0)]}, settings={"seed": 3})
    sections = section, further
    report = Report(title="A recogniser", summary="Tried in a test.", sections=sections)
    write(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("<audio") == 3 + 1
    assert page.count("<img") == 3 + 1 + 1
    assert "one <mark><s>two</s> one</mark>" in page
    assert "two <mark>+ two two two</mark>" in page
    assert "<mark>nothing</mark>" in page
    assert '<span class="chip late">50%</span>' in page  # the mean of 0.4 and 0.6
    assert ">–</td>" in page  # no word, no confidence
    assert '<h1 class="part">The voice, read back</h1>' in page
    assert "The first 1 utterances." in page
    assert "<dt>unfinished</dt><dd>1</dd>" in page
    assert '<td class="word">amy</td><td>1</td><td>2</td><td>50.0%</td>' in page


def test_cuts_become_items(tmp_path: Path) -> None:
    wav.save(tmp_path / "a.wav", 0.1 * torch.randn(16000), 16000)
    recording = Recording.from_file(tmp_path / "a.wav")
    supervision = SupervisionSegment(
        id="s", recording_id=recording.id, start=0.0, duration=1.0, text="one", speaker="amy"
    )
    cut = MonoCut(
        id="c",
        start=0.0,
        duration=1.0,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )
    (found,) = items_of(CutSet.from_cuts([cut]), AUDIO)
    assert (found.text, found.id, found.speaker) == ("one", "c", "amy")
    assert found.waveform.shape == (1, 16000)


def talkative_las() -> LAS:
    """A model that writes several symbols before it ends."""
    model = tiny_las()
    with torch.no_grad():
        model.speller.symbols.bias[EOS] -= 2.0
    return model


def cer(batch: ASRBatch, written: Sequence[Sequence[int]]) -> float:
    """Character errors of written ids against the batch's transcripts."""
    rows = zip(batch.tokens.tolist(), batch.token_lengths.tolist(), strict=True)
    ref = [VOCABULARY.decode(row[:length]) for row, length in rows]
    hyp = [VOCABULARY.decode(ids) for ids in written]
    return score(list(zip(ref, hyp, strict=True))).cer


def test_trap_31_validation_is_free_running_not_teacher_forced() -> None:
    """Fed the true transcript, a model hides the errors that follow errors."""
    model, batch = talkative_las().eval(), tiny_batch()
    found = recognise(model, batch.features, batch.feature_lengths, Greedy())
    free = cer(batch, [hypotheses[0].tokens for hypotheses in found])
    lengths = batch.token_lengths.tolist()
    steps = model(batch).log_probs.argmax(2).tolist()
    forced = cer(batch, [row[:length] for row, length in zip(steps, lengths, strict=True)])
    assert free != forced
    assert error_rate(lambda: [batch], VOCABULARY)(model)["cer"] == free


def test_validation_does_not_depend_on_how_utterances_are_batched() -> None:
    """Errors are summed over the corpus, never averaged over batches."""
    model, batch = talkative_las(), tiny_batch(garbage=1e4)
    inside = length_mask(batch.token_lengths, batch.tokens.shape[1])
    batch = dataclasses.replace(batch, tokens=batch.tokens.where(inside, torch.tensor(5)))
    rows = [row_of(batch, row) for row in range(len(FRAMES))]
    together = error_rate(lambda: [batch], VOCABULARY)(model)
    assert together == error_rate(lambda: rows, VOCABULARY)(model)
    assert together == error_rate(lambda: rows[::-1], VOCABULARY)(model)
    each = [error_rate(lambda row=row: [row], VOCABULARY)(model)["cer"] for row in rows]
    assert together["cer"] != pytest.approx(sum(each) / 4)


def test_validation_leaves_the_model_in_training() -> None:
    model = talkative_las().train()
    error_rate(lambda: [tiny_batch()], VOCABULARY)(model)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
