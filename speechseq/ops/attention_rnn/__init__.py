"""The attention RNN over all steps of known inputs: C++ on a CPU, Triton on a GPU."""
