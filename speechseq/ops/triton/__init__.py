"""Triton kernels (experimental: never run on a GPU), and a check that the device can run them."""
