"""Nothing that a name, a file or a checkpoint holds acts on a terminal."""

import io
import json

import pytest

from speechseq.printable import json_line, lines_of, message, printable, safe_encoding

HOSTILE = "a\x1b[31m\x9b2J\x07\r\n\u202e\u2028\udcff\x7fb"


def is_safe(text: str) -> bool:
    text.encode("utf-8")  # raises for lone surrogates
    return not any(c in text for c in HOSTILE[1:-1] if not c.isprintable())


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    assert is_safe(printable(HOSTILE))
    assert printable("\x1b[2J\udcff") == r"\x1b[2J\udcff"


@pytest.mark.parametrize("text", ["Über die Brücke", "안녕 – ж", "𝄞 👩‍🚀", "שלום", 'say "hi" \\n'])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == message(text) == text
    assert json_line({"text": text}) == json.dumps({"text": text}, ensure_ascii=False)


def test_json_reads_back_equal() -> None:
    data = {"path": HOSTILE, "n": [1, None, HOSTILE]}
    assert json.loads(json_line(data)) == data
    assert is_safe(json_line(data))


def test_a_value_cannot_begin_a_line_of_its_own() -> None:
    said = message("x\nerror: all is well: no such file\n  cure: name another")
    assert said == r"x\nerror: all is well: no such file" + "\n  cure: name another"


def test_long_values_are_cut_in_the_middle() -> None:
    said = message(f"{'d' * 5000}/end.wav: no such file")
    assert len(said) < 250
    assert said.startswith("dddd")
    assert "…" in said
    assert said.endswith("/end.wav: no such file")
    assert len(message("word " * 10_000)) <= 2000
    assert message("x" * 200) == "x" * 200


def test_a_traceback_keeps_its_lines() -> None:
    assert lines_of("x" * 90, 21) == "x" * 10 + "…" + "x" * 10
    assert lines_of("one\n  two\x1b[1m\nthree") == "one\n  two\\x1b[1m\nthree"


def test_a_terminal_without_an_encoding_for_it_gets_something_readable() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    safe_encoding(stream)
    stream.write("5–7 … ж \udcff")
    stream.seek(0)
    assert stream.read() == r"5-7 ... \u0436 \udcff"
