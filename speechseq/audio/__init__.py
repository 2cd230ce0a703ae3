"""Waveforms, spectrograms and the way back: the signal-processing wing."""
