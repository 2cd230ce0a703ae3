"""Text normalisation, symbol tables and phonemes."""
