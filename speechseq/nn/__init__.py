"""Network parts that know nothing of speech files; each is usable alone."""
