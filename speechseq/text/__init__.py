"""Text normalisation, vocabularies, phonemes and n-gram models."""
