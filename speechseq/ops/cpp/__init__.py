"""C++ kernels: compiled on first use, cached, called after their arguments are checked."""
