"""Backends that run a model's decoder fast: C++ kernels, Triton kernels and CUDA graphs."""
