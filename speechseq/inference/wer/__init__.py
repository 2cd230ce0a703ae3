"""Word error rate: alignment of words and confidence intervals."""
