"""Characters of normalised English text."""

import string

PUNCTUATION = ".,;:!?'\"()-"
ALPHABET = string.ascii_letters + " " + PUNCTUATION
