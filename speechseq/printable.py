"""Makes text from names, files and checkpoints short, and safe to print on any terminal."""

import codecs
import json
import re
from typing import Any

_LONGEST_WORD, _LONGEST_LINE = 200, 2000  # characters; a file name has at most 255 bytes
# controls, line and paragraph separators, marks that turn the writing direction, lone surrogates
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LAYOUT = "\n  "  # a line break in a message, with the indent of a continued line
_ASCII = str.maketrans({"…": "...", "–": "-", "—": "-", "×": "x", "→": "->", "≤": "<=", "·": "."})
_ON_ASCII_TERMINALS = "speechseq.ascii"


def printable(text: object) -> str:
    r"""Escape characters that a terminal interprets, such as "\x1b", to get one safe line.

    Control characters, line breaks, marks that turn the writing direction and lone surrogates
    (bytes of a file name that are not UTF-8) are escaped; all other text stays as it is.
    """
    return _UNSAFE.sub(_escaped, str(text))


def message(text: object) -> str:
    """Format a message of several lines for a terminal: each line `printable`, long words cut.

    A line break followed by two spaces is part of the layout. Other line breaks belong to a value,
    such as a file name, and are escaped, so that no value can begin a new line.
    """
    lines = str(text).split(_LAYOUT)
    return _LAYOUT.join(_cut(_short_words(printable(line)), _LONGEST_LINE) for line in lines)


def lines_of(text: str, longest: int | None = None) -> str:
    """Make a text of several lines, such as a table or a traceback, safe to print on a terminal.

    `printable` is applied to each line.

    Args:
        text: the text.
        longest: maximum number of characters of a line; the middle of longer lines is left out.
            None sets no limit.
    """
    lines = map(printable, text.split("\n"))
    return "\n".join(line if longest is None else _cut(line, longest) for line in lines)


def json_line(data: Any) -> str:
    """Encode plain data as one line of JSON that is safe to print and decodes to equal data."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", _dumps(data))


def safe_encoding(stream: Any, errors: str | None = _ON_ASCII_TERMINALS) -> None:
    """Make a text stream escape characters that it cannot encode, instead of raising.

    Args:
        stream: the stream; one without a method `reconfigure` is left unchanged.
        errors: error handler of the stream's encoder, see `codecs`.
    """
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=errors)


def _dumps(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def _short_words(line: str) -> str:
    return re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda w: _cut(w[0], _LONGEST_WORD), line)


def _cut(text: str, longest: int) -> str:
    """Omit the middle of a text that is longer than `longest` characters."""
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def _encoded(error: UnicodeError) -> tuple[str, int]:
    """Encoding error handler: replaces characters by plain ones or by escape codes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    there = error.object[error.start : error.end].translate(_ASCII)
    plain = there.encode("ascii", "backslashreplace").decode("ascii")
    return plain, error.end


codecs.register_error(_ON_ASCII_TERMINALS, _encoded)
