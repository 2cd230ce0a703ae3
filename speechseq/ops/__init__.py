"""Fast functions on tensors, each with a plain torch formula in the same file."""
