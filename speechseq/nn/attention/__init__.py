"""Attention mechanisms, one file each, on the contract of `contract.py`."""
