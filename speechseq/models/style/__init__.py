"""Styles: latent variables for how an utterance is spoken, the same for both Tacotrons."""
