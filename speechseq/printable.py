"""Text from names, files and checkpoints made safe to print on any terminal, and short."""

import codecs
import json
import re
from typing import Any

_LONGEST_WORD, _LONGEST_LINE = 200, 2000  # characters; a file name has at most 255 bytes
# controls, line and paragraph separators, marks that turn the writing direction, lone surrogates
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LAYOUT = "\n  "  # a line break in a message, with the two spaces that a continued line begins with
_ASCII = str.maketrans({"…": "...", "–": "-", "—": "-", "×": "x", "→": "->", "≤": "<=", "·": "."})
_ON_ASCII_TERMINALS = "speechseq.ascii"


def printable(text: object) -> str:
    r"""One line without characters that a terminal acts on: "\x1b" stands for an escape code.

    Control characters, line breaks, marks that turn the writing direction and lone surrogates
    (bytes of a file name that are not UTF-8) are escaped; all other text stays as it is.
    """
    return _UNSAFE.sub(_escaped, str(text))


def message(text: object) -> str:
    """A message of one or more lines, each `printable`, with long words and lines cut.

    A line break followed by two spaces is layout. Any other is part of a value, such as a file
    name, and is escaped, so that no value can begin a line of its own.
    """
    lines = str(text).split(_LAYOUT)
    return _LAYOUT.join(_cut(_short_words(printable(line)), _LONGEST_LINE) for line in lines)


def lines_of(text: str, longest: int | None = None) -> str:
    """A text of many lines, such as a table or traceback, each line `printable`.

    Args:
        longest: characters of a line, beyond which its middle is left out; None for no limit.
    """
    lines = map(printable, text.split("\n"))
    return "\n".join(line if longest is None else _cut(line, longest) for line in lines)


def json_line(data: Any) -> str:
    """Plain data as one line of JSON that reads back equal and is safe to print."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", _dumps(data))


def safe_encoding(stream: Any, errors: str | None = _ON_ASCII_TERMINALS) -> None:
    """Let a stream escape the characters that it cannot encode instead of raising."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=errors)


def _dumps(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def _short_words(line: str) -> str:
    return re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda w: _cut(w[0], _LONGEST_WORD), line)


def _cut(text: str, longest: int) -> str:
    """The text with its middle left out when it is longer than so many characters."""
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def _encoded(error: UnicodeError) -> tuple[str, int]:
    """Replacement of characters that the terminal cannot show: plain signs, or escape codes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    there = error.object[error.start : error.end].translate(_ASCII)
    plain = there.encode("ascii", "backslashreplace").decode("ascii")
    return plain, error.end


codecs.register_error(_ON_ASCII_TERMINALS, _encoded)
