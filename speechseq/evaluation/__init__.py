"""Evaluation of trained models: error rates, alignment scores, word times and reports."""
