"""The rules of the English normaliser, one kind of written form a file."""
