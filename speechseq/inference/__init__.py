"""Inference: from a checkpoint folder to speech or text."""
