"""From a checkpoint folder to speech or text, and the judging of it."""
