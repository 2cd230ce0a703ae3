"""Language models as scorers of hypotheses."""
