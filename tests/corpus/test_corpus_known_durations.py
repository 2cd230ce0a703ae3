"""Known durations: events cover the sound, lie where the sound changes, and depend on the text."""

import itertools

import numpy as np
import pytest
import torch

from speechseq.corpus import espeak, known_durations
from speechseq.corpus.known_durations import Event, Spoken, frame_positions, speak, speak_all
from speechseq.errors import ConfigError, DataError

pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
TEXTS = ["nine, six", "One two three.", "it costs $3.50 in the café", "One two three."]


@pytest.fixture(scope="module")
def said() -> list[Spoken]:
    return speak_all(TEXTS)


def test_equal_texts_give_equal_bytes_whatever_was_said_before(said):
    assert said[1].samples.tobytes() == said[3].samples.tobytes()
    assert said[1].events == said[3].events
    alone = speak(TEXTS[1])
    assert alone.samples.tobytes() == said[1].samples.tobytes()
    assert alone.phonemes == said[1].phonemes
    assert said[0].samples.tobytes() != said[1].samples.tobytes()


def test_the_sound_is_that_of_the_corpus_of_espeak(said, tmp_path):
    (cut,) = espeak.speak([TEXTS[1]], tmp_path)
    sound = (cut.load_audio()[0] * 32768).astype(np.int16)
    assert np.array_equal(sound, said[1].samples)
    assert said[1].sample_rate == cut.sampling_rate


def test_events_cover_every_sample_once(said):
    for spoken in said:
        for events in (spoken.events, spoken.phonemes):
            assert events[0].first == 0
            assert events[-1].last == len(spoken.samples)
            assert all(a.last == b.first for a, b in itertools.pairwise(events))
            assert all(event.first < event.last for event in events)


def test_words_are_those_of_the_text_in_order(said):
    assert [event.text for event in said[1].events] == ["One", "two", "three"]
    assert [event.text for event in said[0].events] == ["nine", "six"]
    assert [event.text for event in said[2].events][-1] == "café"
    for text, spoken in zip(TEXTS, said, strict=True):  # in order, and none is lost
        joined = "".join(event.text for event in spoken.events)
        assert [c for c in joined if c.isalnum()] == [c for c in text if c.isalnum()]


def test_words_begin_with_their_phonemes_and_pauses_are_silent(said):
    spoken = said[0]  # a comma is a pause
    starts = {event.first for event in spoken.phonemes}
    assert all(event.first in starts for event in spoken.events)
    assert [e.text for e in spoken.phonemes if e.text] == ["n", "ˈaɪ", "n", "s", "ˈɪ", "k", "s"]
    pause = next(e for e in spoken.phonemes if not e.text and e.last - e.first > 2000)
    quiet = np.abs(spoken.samples[pause.first + 600 : pause.last].astype(int))
    assert quiet.max() < 0.05 * np.abs(spoken.samples.astype(int)).max()


def test_a_hiss_lies_where_its_event_says(said):
    """Zero crossings tell an s from a vowel, without a word of espeak's."""

    def crossings(event: Event) -> float:
        x = np.sign(said[0].samples[event.first : event.last].astype(int))
        return float((np.diff(x) != 0).mean())

    by_text = {event.text: crossings(event) for event in said[0].phonemes}
    assert by_text["s"] > 3 * by_text["ˈaɪ"]


def test_a_faster_rate_shortens_every_word():
    slow, fast = (speak("one two three", rate=rate) for rate in (100, 250))
    for a, b in zip(slow.events, fast.events, strict=True):
        assert b.last - b.first < a.last - a.first


def test_frames_lie_in_the_event_of_their_centre():
    events = [Event(0, 100, "a"), Event(100, 350, "b"), Event(350, 400, "c")]
    assert frame_positions(events, 7, 100).tolist() == [0, 1, 1, 1, 2, 2, 2]
    assert frame_positions(events, 4, 99.5).tolist() == [0, 0, 1, 1]
    assert frame_positions(events[:1], 3, 100).dtype == torch.int64


def test_events_without_samples_join_the_next():
    tiled = known_durations._tiled([(5, "of"), (5, "the"), (9, "day"), (12, "x")], 12)
    assert tiled == (Event(0, 5, "of"), Event(5, 9, "the"), Event(9, 12, "day x"))


def test_what_cannot_be_said_is_refused():
    with pytest.raises(DataError, match="nothing to say"):
        speak("...")
    with pytest.raises(ConfigError, match="no voice 'en-xx'"):
        speak("one", voice="en-xx")
    with pytest.raises(ConfigError, match="rate: 10"):
        speak("one", rate=10)
    with pytest.raises(ConfigError, match="no texts"):
        speak_all([])
