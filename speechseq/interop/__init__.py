"""Foreign checkpoints in: maps of weight names onto our models."""
