"""The attention RNN over all steps of known inputs, in C++ on a CPU and in Triton on a GPU."""
