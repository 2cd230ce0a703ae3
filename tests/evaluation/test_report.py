"""A report is one whole file that needs nothing else, and shows texts as they are."""

import base64
import errno
import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import soundfile
import torch

from speechseq.errors import MachineError
from speechseq.evaluation.report import player
from speechseq.evaluation.report.asr import ASRSection, TranscribedUtterance
from speechseq.evaluation.report.page import Figure, Picture, Report, page, write
from speechseq.evaluation.report.player import Take
from speechseq.evaluation.report.tts import Spoken, TTSSection
from speechseq.inference.score import score
from speechseq.inference.wer.edits import Edit
from speechseq.pictures import curves_picture

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Checks that tags are closed in order; keeps tags, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [v or "" for name, v in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def take(words: tuple[Edit, ...] | None = None) -> Take:
    return Take(waveform=0.5 * torch.sin(torch.arange(800) / 10), sample_rate=8000, edits=words)


def whole_report() -> Report:
    picture = Picture(title="Alignment", png=curves_picture({"a": [(0, 1.0), (1, 0.5)]}))
    wrong = (
        Edit("equal", "one", "one"),
        Edit("substitute", "two", "too"),
        Edit("delete", "three", ""),
        Edit("insert", "", "nine"),
    )
    rows = [
        Spoken(
            ref="one two three",
            ours=take(wrong),
            original=take((Edit("equal", "one", "one"),)),
            finished_reason="attention_end",
            pictures=(picture, picture),
        ),
        *[Spoken(ref=f"text {i}", ours=take(), pictures=(picture,)) for i in range(7)],
    ]
    voice = TTSSection(
        figures=(Figure(label="WER", value="10 %", note="of ours", good=True),),
        spoken=tuple(rows),
        curves=(picture,),
        settings={"model": {"r": 2}, "rate": 1e-3},
    )
    return Report(title="A voice", summary="Said in a test.", sections=(voice,))


def test_the_page_is_whole_and_asks_nothing_of_the_network() -> None:
    text = page(whole_report())
    outline = Outline(text)
    assert {"audio", "img", "table", "details", "dl"} <= set(outline.tags)
    assert not {"script", "link", "iframe"} & set(outline.tags)
    assert all(source.startswith("data:") for source in outline.sources)
    assert not re.search(r"https?://|url\(|@import", text)
    for part in ("A voice", "Said in a test.", "10 %", "model.r", "0.001", "attention end"):
        assert part in outline.text
    assert outline.tags.count("audio") == 9
    assert outline.tags.count("img") == 2 + 7 + 1


def test_sounds_and_pictures_are_inside() -> None:
    text = page(whole_report())
    sound = re.search(r"data:audio/wav;base64,([^\"]+)", text)
    picture = re.search(r"data:image/png;base64,([^\"]+)", text)
    assert sound
    assert picture
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound[1])))
    assert (rate, len(samples)) == (8000, 800)
    assert abs(samples).max() == pytest.approx(0.5, abs=1e-3)
    assert base64.b64decode(picture[1])[:4] == b"\x89PNG"


def test_much_sound_takes_half_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    light = page(whole_report())
    monkeypatch.setattr(player, "_HEAVY", 1000)
    heavy = page(whole_report())
    assert "audio/flac" not in light
    assert "audio/wav" not in heavy
    sounds = [
        re.search(r"data:audio/\w+;base64,([^\"]+)", text).group(1) for text in (light, heavy)
    ]
    samples = [soundfile.read(io.BytesIO(base64.b64decode(sound)))[0] for sound in sounds]
    assert abs(samples[0] - samples[1]).max() < 1e-4
    assert len(sounds[1]) < len(sounds[0])


def test_errors_of_hearing_are_marked() -> None:
    text = page(whole_report())
    assert "one <mark><s>two</s> too</mark> <mark><s>three</s></mark> <mark>+ nine</mark>" in text


def test_an_end_other_than_stop_stands_out() -> None:
    text = page(whole_report())
    assert '<span class="chip late">attention end</span>' in text


def test_texts_are_shown_not_run() -> None:
    nasty = "<script>alert('x')</script> & \"quoted\""
    words = (Edit("substitute", nasty, nasty),)
    picture = Picture(title=nasty, png=b"", caption=nasty)
    voice = TTSSection(
        figures=(Figure(label=nasty, value=nasty, note=nasty),),
        spoken=(
            Spoken(
                ref=nasty,
                ours=take(words),
                original=take(words),
                finished_reason=nasty,
                pictures=(picture,),
            ),
        ),
        curves=(picture,),
        settings={nasty: nasty},
        original_name=nasty,
    )
    outline = Outline(page(Report(title=nasty, summary=nasty, sections=(voice,), footer=nasty)))
    assert "script" not in outline.tags
    assert outline.text.count(nasty) >= 10


def recognition(title: str, said: str, hyp: str) -> ASRSection:
    """A recogniser's section of two speakers, whose every text is one of these."""
    found = score([(said, hyp), ("one two", "one two")], speakers=[said, "amy"], ids=[said, "2"])
    picture = Picture(title=hyp, png=b"")
    rows = [
        TranscribedUtterance(
            id=row.id,
            ref=row.ref,
            waveform=take().waveform,
            sample_rate=8000,
            edits=row.edits,
            confidence=0.97,
            picture=picture,
        )
        for row in found.rows
    ]
    return ASRSection(
        title=title,
        summary=title,
        score=found,
        utterances=tuple(rows),
        curves=(picture,),
        settings={title: title},
    )


def test_a_recogniser_stands_below_a_voice_on_one_page() -> None:
    voice = whole_report().sections
    further = (recognition("Unseen strings", "nine", "five"), recognition("The chain", "a", "a"))
    outline = Outline(page(Report(title="Both", summary="", sections=(*voice, *further))))
    assert outline.tags.count("section") == 3
    assert outline.tags.count("h1") == 3
    assert outline.tags.count("audio") == 9 + 2 + 2
    places = [outline.text.index(text) for text in ("Asked, spoken", "Unseen strings", "The chain")]
    assert places == sorted(places)


def test_a_recognisers_errors_are_counted_by_speaker_length_and_word() -> None:
    text = page(Report(title="x", summary="", sections=(recognition("", "nine", "five"),)))
    outline = Outline(text)
    assert "<mark><s>nine</s> five</mark>" in text
    for part in ("33.3%", "1 of 2", "By speaker", "By length", "Most frequent errors", "97%"):
        assert part in outline.text
    assert '<td class="word">nine</td><td class="word">five</td><td>1</td>' in text
    assert outline.tags.count("h1") == 1  # a section without a title has no heading


def test_a_perfect_recogniser_has_no_table_of_errors() -> None:
    section = ASRSection(score=score([("a", "a")]))
    outline = Outline(page(Report(title="x", summary="", sections=(section,))))
    assert "1 of 1" in outline.text
    assert "table" not in outline.tags


def test_a_recognisers_texts_are_shown_not_run() -> None:
    nasty = "<script>alert('x')</script>"
    outline = Outline(
        page(Report(title="x", summary="", sections=(recognition(nasty, nasty, f"{nasty}!"),)))
    )
    assert "script" not in outline.tags
    assert outline.text.count(nasty) >= 10


def test_a_report_of_little_leaves_the_rest_out() -> None:
    outline = Outline(page(Report(title="Little", summary="")))
    assert not {"table", "audio", "img", "details"} & set(outline.tags)
    voice = TTSSection(spoken=(Spoken(ref="a", ours=take()),))
    ours = Outline(page(Report(title="x", summary="", sections=(voice,))))
    assert ours.tags.count("th") == 3  # no column for an original or an end that is not there


def test_nothing_heard_is_said() -> None:
    voice = TTSSection(spoken=(Spoken(ref="one", ours=take(())),))
    assert "<mark>nothing</mark>" in page(Report(title="x", summary="", sections=(voice,)))


def test_write_replaces_the_file_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*names: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "replace", full)
        with pytest.raises(MachineError, match="No space left"):
            write(path, whole_report())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]
    write(path, whole_report())
    assert path.read_text("utf-8") == page(whole_report())
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_missing_folder_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        write(tmp_path / "none" / "report.html", Report(title="x", summary=""))
