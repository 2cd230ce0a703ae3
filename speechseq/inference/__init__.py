"""From a checkpoint folder to speech or text."""
