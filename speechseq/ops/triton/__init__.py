"""Triton kernels (experimental: never run on a GPU) and the check that they can be run."""
