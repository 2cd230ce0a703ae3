"""Rules of the English normaliser, one file for each kind of written form."""
