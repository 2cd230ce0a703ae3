"""Whether a full stop that also closes an abbreviation ends the sentence."""

import re

# Words that begin sentences far more often than names.
STARTERS = (
    "The|A|An|He|She|It|They|We|You|I|His|Her|Its|Our|Their|This|That|These|Those|There|Here|In|On|"
    "At|But|And|Or|So|If|When|While|As|For|After|Before|From|With|What|Who|Why|How|Is|Was|Are|Not|"
    "No|Yes|Then|My|By|To"
)
_ENDS = re.compile(rf"[\"')]*(?:$| +[\"'(]*(?:{STARTERS})(?![A-Za-z.]))")


def ends_sentence(text: str, position: int) -> bool:
    """True when what follows `position` is the end of the text or looks like a new sentence."""
    return _ENDS.match(text, position) is not None
