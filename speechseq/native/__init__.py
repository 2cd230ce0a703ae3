"""Kernels for what torch does slowly: in C++ for a CPU, see `library`; in Triton for a GPU."""
