"""Reports of evaluations as single HTML pages."""
