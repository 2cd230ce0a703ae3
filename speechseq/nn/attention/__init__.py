"""Attention mechanisms, one per file; `contract.py` describes the interface that they share."""
