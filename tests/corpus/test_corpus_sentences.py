"""Sentences: read from plain files and transcripts, held out fairly, resumed exactly."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from speechseq import checkpoint
from speechseq.corpus.sentences import Sentence, SentenceBatches, read, split
from speechseq.errors import CheckpointError, ConfigError, DataError
from speechseq.models.language_model import (
    LanguageModel,
    LanguageModelConfig,
    LanguageModelLoss,
    perplexity,
)
from speechseq.text.vocabulary import PAD, Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.saving import ModelDescription
from speechseq.training.train_step import Batches
from speechseq.training.trainer import Trainer

VOCABULARY = Vocabulary.transcripts("abc ")
TEXTS = ["a", "ab", "abc", "a b c", "cc bb aa", "b" * 20, "c c", "ba", "cab", "a cab"]
SENTENCES = [Sentence(id=f"s{i}", text=text) for i, text in enumerate(TEXTS)]


def batches(**numbers: int) -> SentenceBatches:
    return SentenceBatches(SENTENCES, VOCABULARY, **({"tokens_per_batch": 24, "seed": 0} | numbers))


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_plain_lines_are_named_by_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeffone  two\r\n\n three\tfour \n")
    assert read(path) == [
        Sentence(id="a.txt:1", text="one two"),
        Sentence(id="a.txt:3", text="three four"),
    ]


def test_transcripts_lose_their_ids_and_a_folder_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "1272" / "128104").mkdir(parents=True)
    lines = "1272-128104-0000 MISTER QUILTER IS\n1272-128104-0001 NOR IS MISTER\n"
    write(tmp_path / "1272" / "128104" / "1272-128104.trans.txt", lines)
    write(tmp_path / "84.trans.txt", "84-121123-0000 GO\n84-121123-0001\n")
    assert [(s.id, s.text) for s in read(tmp_path)] == [
        ("1272-128104-0000", "MISTER QUILTER IS"),
        ("1272-128104-0001", "NOR IS MISTER"),
        ("84-121123-0000", "GO"),
    ]


@pytest.mark.parametrize(
    "lines", ["well-known men\nself-made men\n", "1-2 one\n1-2 two\n", "a1-2 one\nplain\n"]
)
def test_a_first_word_is_no_id_unless_every_line_has_one(tmp_path: Path, lines: str) -> None:
    assert [s.text for s in read(write(tmp_path / "a.txt", lines))] == lines.splitlines()


def test_gzip_is_read_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    whole = gzip.compress(b"one\ntwo\n" * 1000)
    path.write_bytes(whole)
    assert len(read(path)) == 2000
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"a\.txt\.gz:\d+: the gzip file is damaged"):
        read(path)


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "no sentences"), (b" \n", "no sentences"), (b"a\n\xff", ":2: not UTF-8")],
)
def test_a_file_without_text_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(DataError, match=problem):
        read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt: no such file"):
        read(tmp_path / "nowhere.txt")


def test_what_is_held_out_is_learned_from_nowhere() -> None:
    train, dev = split([*SENTENCES, *SENTENCES], 3)
    assert len(dev) == 3
    assert len(train) == 2 * (len(TEXTS) - 3)
    assert not {s.text for s in train} & {s.text for s in dev}
    assert split(SENTENCES[::-1], 3)[1] == dev
    for wrong in (0, len(TEXTS)):
        with pytest.raises(ConfigError, match="held out"):
            split(SENTENCES, wrong)


def test_every_sentence_comes_once_an_epoch_within_the_budget() -> None:
    ours = batches()
    assert isinstance(ours, Batches)
    for epoch in range(3):
        assert ours.epoch == epoch
        seen: list[str] = []
        while ours.epoch == epoch:
            batch = next(ours)
            seen += batch.ids
            assert batch.tokens.numel() <= 24
            for row, length, name in zip(batch.tokens, batch.token_lengths, batch.ids, strict=True):
                assert row[:length].tolist() == VOCABULARY.encode(TEXTS[int(name[1:])])
                assert (row[length:] == PAD).all()
        assert sorted(seen) == sorted(s.id for s in SENTENCES)
    assert sum(map(len, batches().one_epoch())) == len(TEXTS)


def test_an_unknown_symbol_names_its_sentence() -> None:
    with pytest.raises(DataError, match=r"s3: unknown symbols .*'x'"):
        SentenceBatches(
            [*SENTENCES[:3], Sentence(id="s3", text="x")], VOCABULARY, tokens_per_batch=9, seed=0
        )


def test_a_voices_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigError, match="<pad>, <eos> is no recogniser's"):
        SentenceBatches(SENTENCES, Vocabulary.characters(), tokens_per_batch=9, seed=0)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"seed": 1}, "seed: 0 before, 1 now"), ({"tokens_per_batch": 30}, "24 before, 30 now")],
)
def test_with_other_numbers_the_saved_epoch_begins_anew(
    changed: dict[str, int], named: str
) -> None:
    saved, other = batches(), batches(**changed)
    while saved.epoch < 1:
        next(saved)
    next(saved)
    with pytest.warns(UserWarning, match=f"{named}.*epoch 1 begins anew"):
        other.load_state_dict(saved.state_dict())
    assert (other.epoch, other.position) == (1, 0)


def test_with_other_sentences_the_saved_epoch_begins_anew() -> None:
    other = SentenceBatches(SENTENCES[1:], VOCABULARY, tokens_per_batch=24, seed=0)
    with pytest.warns(UserWarning, match=f"sentences: {len(SENTENCES)} before"):
        other.load_state_dict(batches().state_dict())


MODEL = LanguageModelConfig(embedding=4, hidden=6, dropout=0.3)


def trainer(run: Path, updates: int) -> Trainer:
    torch.manual_seed(3)
    ours = batches()
    return Trainer(
        MODEL.build(len(VOCABULARY)),
        LanguageModelLoss(),
        ours,
        TrainerConfig(updates=updates, log_every=2, checkpoint_every=4, tensorboard=False),
        run=run,
        about=ModelDescription(model=MODEL, audio=None, vocabulary=VOCABULARY),
        validate=lambda model: {"perplexity": perplexity(model, ours.one_epoch())},
    )


def test_law_8_a_language_model_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", 11).run()
    for updates in (1, 6, 11):
        pieces = trainer(tmp_path / "pieces", updates).run()
    ours, theirs = (checkpoint.read(s.checkpoint).weights for s in (pieces, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert pieces.validation == whole.validation


def test_law_9_a_checkpoint_of_a_text_model_is_whole_without_audio(tmp_path: Path) -> None:
    summary = trainer(tmp_path, 2).run()
    stored = checkpoint.load(summary.checkpoint, LanguageModelConfig)
    assert stored.hearing is None
    with pytest.raises(CheckpointError, match="no audio settings"):
        _ = stored.audio
    model = checkpoint.restore(stored, lambda: stored.model.build(len(stored.vocabulary)))
    assert isinstance(model, LanguageModel)
    found = perplexity(model.eval(), batches().one_epoch())
    assert found == pytest.approx(summary.validation["perplexity"])
    description = json.loads((summary.checkpoint / "config.json").read_text())
    assert description["audio"] is None
