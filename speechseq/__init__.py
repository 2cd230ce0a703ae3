"""Speech sequence-to-sequence in PyTorch: text to speech and speech to text from tested parts."""

__version__ = "0.1.0"
