"""Corpora as lhotse CutSets, their features, and the batches made of them."""
