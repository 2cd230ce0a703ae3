"""Import of foreign checkpoints: maps from their weight names to those of this toolkit."""
