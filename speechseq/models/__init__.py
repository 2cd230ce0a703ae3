"""Whole models, built by plain functions whose bodies are the papers' tables."""
