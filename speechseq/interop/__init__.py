"""Import of foreign checkpoints: maps names of other projects' weights to those of this package."""
