"""Fast ways to run a model's decoder: C++ kernels, Triton kernels and CUDA graphs."""
