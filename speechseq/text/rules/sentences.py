"""Decides whether the full stop of an abbreviation also ends the sentence."""

import re

# Words that begin sentences far more often than names do.
STARTERS = (
    "The|A|An|He|She|It|They|We|You|I|His|Her|Its|Our|Their|This|That|These|Those|There|Here|In|On|"
    "At|But|And|Or|So|If|When|While|As|For|After|Before|From|With|What|Who|Why|How|Is|Was|Are|Not|"
    "No|Yes|Then|My|By|To"
)
_ENDS = re.compile(rf"[\"')]*(?:$| +[\"'(]*(?:{STARTERS})(?![A-Za-z.]))")


def ends_sentence(text: str, position: int) -> bool:
    """Return True if the full stop of an abbreviation seems to end a sentence too.

    This is so if the text ends after it, or a word that often begins sentences follows.

    Args:
        text: the text.
        position: index of the character after the full stop.
    """
    return _ENDS.match(text, position) is not None
