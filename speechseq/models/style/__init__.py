"""Styles: latents that say how an utterance is spoken, behind one interface for both Tacotrons."""
