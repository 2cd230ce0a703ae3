"""Laws of normalize: total, idempotent, one alphabet, NFC = NFD, never slow."""

import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechseq.text.alphabet import ALPHABET
from speechseq.text.normalize import normalize

# Pieces that the readings look for, so that random texts meet them glued, nested and cut.
PIECES_TEXT = """
0 1 2 9 12 19 63 007 1990 1,234 3.14 1/2 ½ 1st ' " . , : - / $ £ € ¢ % ° ² kg m in ft s th I V X
IV Henry Chapter War St St. Dr. Mr No. Main The a e.g. i.e. p.m. am FBI US NASA AB A x v. @ www.
com http:// .com # + * = < > ( ) [ é – — … “ Jan May Sat. etc. to million page box B.C. & and/or
w/ ^ _ 🙂 ⅷ ① USD bn £3 4s. c. Avenue Ph.D. + +/- ± ℃ ″ ′ × Ω ⁸ ⁻ CHF noon Mon Psalm 23:1 → 5s UTC-
"""
PIECES = PIECES_TEXT.split()
PIECES += [" ", " ", "  ", "\n", "\x00", "\ud800", "\u0301", "e\u0301", "\u200b", "call 911"]
any_text = st.text(st.characters(), max_size=200)  # lone surrogates and controls included
glued_text = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(any_text, glued_text, st.text(ALPHABET)))
def test_any_text_gives_the_alphabet_only_and_tidy_spaces(text: str) -> None:
    read = normalize(text)
    assert set(read) <= set(ALPHABET)
    assert "  " not in read
    assert read == read.strip()


@settings(max_examples=1000, deadline=None)
@given(st.one_of(any_text, glued_text, st.text(ALPHABET)))
def test_normalize_is_idempotent(text: str) -> None:
    read = normalize(text)
    assert normalize(read) == read


@settings(max_examples=300, deadline=None)
@given(st.one_of(any_text, glued_text))
def test_composed_and_decomposed_text_read_alike(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert normalize(composed) == normalize(decomposed) == normalize(text)


def test_more_marks_than_a_letter_can_bear_read_alike_in_every_form() -> None:
    piled = "\u304b" + "\u0315" * 40 + "\u3099"  # the last mark makes ka ga, if it is kept
    read = {normalize(unicodedata.normalize(form, piled)) for form in ("NFC", "NFD")}
    assert read == {normalize(piled)}


@pytest.mark.parametrize("text", ["\u304c", "\uac01", "\u00e9", "\u212b", "\u1e69", "\u0344"])
def test_letters_that_compose_read_alike_in_both_forms(text: str) -> None:
    assert normalize(unicodedata.normalize("NFD", text)) == normalize(text)


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "\u200b", "\u0301", "~", "\u00ad"])
def test_text_without_anything_to_say_is_empty(text: str) -> None:
    assert normalize(text) == ""


def test_every_character_of_unicode_is_read() -> None:
    sample = [*range(0x3000), *range(0x3000, sys.maxunicode + 1, 23)]
    assert set(normalize(" ".join(map(chr, sample)))) <= set(ALPHABET)


SEEDS_TEXT = """
0 1 1, 1. 1,111 1/ 1: 1- ( $ $1 $1, £1. '9 1' a A A. 5kg % 1% -1 - -- @ a@ a@b. www. http:// a.b
1st 1a a1 é 漢 ½ .1 <> & #1 +1- 555- 555-1234 C# w/ [ =1 1x ² 1m² ° i.e. 1999- US$1 ,1 1.2.3. ! "
"""
SEEDS = SEEDS_TEXT.split()
SEEDS += [" ", "1 ", ". ", "\x00", "\ud800", "e\u0301", "\u0315\u0300", "AB ", "IV ", "Dr. "]
SEEDS += ["FBI ", "1 1/2 ", "Jan 1 ", "9 a.m. ", "1234567890 ", "1 to ", "1 Main St. "]
HEAVIEST = (
    "0",
    "\u0315\u0300",
    "1%",
    "$",
    "½",
    "1a",
    "=1",
    "漢",
    "1234567890 ",
    "The 3 oxen (Mr. X), at 9:05. ",
)
CLOCK = """
import json, re, sys, time
from speechseq.text.normalize import normalize

def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start

def text(seed, size):  # with a tail, so that no reading is skipped because its sign is missing
    repeated = seed * (size // len(seed.encode("utf-8", "surrogatepass")))
    return repeated + " @ / : & $ 1. v."

pattern = re.compile(r"(?<![\\w.,])(\\d+)(?: |-)(?=[a-z])")
unit = lambda: pattern.sub(lambda m: m[1] + "-", "1 a " * 60_000)
normalize("warm 1")
before, times = seconds(unit), []
for seed, size in json.load(sys.stdin):
    drawn = text(seed, size)
    taken, after = seconds(lambda: normalize(drawn)), seconds(unit)
    times.append(taken * 2 / (before + after))
    before = after
print(json.dumps(times))
"""


def _times(seeds: Sequence[str], size: int) -> dict[str, float]:
    """Count fixed substitutions that fit into the reading of each seed, repeated to so many bytes.

    The substitution takes about 0.025 s of a quiet processor and is timed before and after each
    reading: seconds alone tell more about the machine than about the text. In a process of its
    own, where annotations are not executed.
    """
    jobs = json.dumps([(seed, size) for seed in seeds])
    code = [sys.executable, "-c", CLOCK]
    done = subprocess.run(code, input=jobs, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return dict(zip(seeds, json.loads(done.stdout), strict=True))


def _above(
    limit: float, measure: Callable[[Sequence[str]], dict[str, float]], seeds: Sequence[str]
) -> dict[str, float]:
    """Measures of the seeds that exceed the limit in each of three measurements.

    Another process can slow a reading down but not speed it up, so only the slow are repeated.
    """
    found = dict.fromkeys(seeds, float("inf"))
    for _ in range(3):
        if found:
            found = {seed: t for seed, t in measure(list(found)).items() if t > limit}
    return found


def test_100_kb_take_less_than_two_seconds() -> None:
    """A quiet processor takes 30 of the 80 units that fit into 2 seconds for the slowest, '½'."""
    assert _above(80, lambda seeds: _times(seeds, 100_000), HEAVIEST) == {}


def test_no_repetition_makes_reading_quadratic() -> None:
    """4 times the bytes take 4 to 6 times the time; a quadratic reading takes 16 times."""

    def growth(seeds: Sequence[str]) -> dict[str, float]:
        short, long = _times(seeds, 3_000), _times(seeds, 12_000)
        return {seed: long[seed] / short[seed] for seed in seeds}

    assert _above(9, growth, SEEDS) == {}
