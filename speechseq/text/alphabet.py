"""The characters that normalised text is made of."""

import string

PUNCTUATION = ".,;:!?'\"()-"
ALPHABET = string.ascii_letters + " " + PUNCTUATION
