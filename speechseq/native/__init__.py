"""Kernels in C++ for what torch does slowly on a CPU; see `library`."""
